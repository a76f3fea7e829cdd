//! The rules of the repository, executable.

mod arrows;
mod checker;
mod files;
mod licences;
mod metadata;
