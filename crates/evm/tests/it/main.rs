//! Properties of the payment rules, over the public interface only.

mod payment;
mod wire;
