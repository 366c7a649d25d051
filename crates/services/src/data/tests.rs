mod beats;
mod blobs;
mod crash;
mod http;
mod paid;
mod stores;
mod taken;
mod world;
