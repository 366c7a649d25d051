mod crash;
mod taken;
mod world;
