//! Properties of the payment rules, over the public interface only.

mod mutation;
mod payment;
mod wire;
