//! The rules of the repository, executable.

mod arrows;
mod files;
mod licences;
mod metadata;
