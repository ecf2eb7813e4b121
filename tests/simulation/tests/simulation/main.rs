//! The simulation as a test: seeds that must hold, that a seed decides everything, that the checker
//! can fail, and that the store's model is one.

mod sabotage;
mod seeds;
mod store;
