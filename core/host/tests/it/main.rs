//! A whole host with real libraries in C, one home folder and one host per test.

mod activation;
mod actors;
mod aside;
mod batches;
mod churn;
mod crashes;
mod edits;
mod failures;
mod given;
mod keys;
mod letters;
mod links;
mod operating;
mod ordering;
mod replacement;
mod rig;
mod services;
mod shutdown;
mod stuck;
mod transitions;
