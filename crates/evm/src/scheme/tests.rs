mod golden;
mod signing;
mod upto;
mod words;
