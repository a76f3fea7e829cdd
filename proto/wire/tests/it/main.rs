//! Topics and messages from outside: against a naive matcher, against golden samples, and through
//! every form and back.

mod bad_messages;
mod cloud_events;
mod forms;
mod golden;
mod matching;
mod samples;
