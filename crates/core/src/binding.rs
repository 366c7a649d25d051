//! The values that bind a call, its payment and its evidence together (`spec/binding.md`).
