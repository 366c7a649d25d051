mod upto;
