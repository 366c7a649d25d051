mod beats;
mod blobs;
mod crash;
mod http;
mod stores;
mod taken;
mod world;
