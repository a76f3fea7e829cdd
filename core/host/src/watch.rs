//! Reading what the operator wants: the links in `plugins/enabled`.
//!
//! A link states intent only. Whatever it leads to is judged here, without running any of it, and
//! becomes an [`Intent`](patchbay_lifecycle::Intent) for the registry.

pub(crate) mod given;
pub(crate) mod link;
pub(crate) mod prepared;
pub(crate) mod scanner;
