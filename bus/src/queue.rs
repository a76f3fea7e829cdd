//! One bounded queue per subscription. It belongs to a plugin's name and survives its versions.
//!
//! Publishers touch only the [`inbox`]; lanes touch the [`desk`], and inside it the inbox for one
//! visit per batch. What waits at the desk is in the [`store`] (ready, in order by [`keyed`], or on
//! the [`wheel`]). A [`seat`] is a lane's place; its [`window`] is the lease of a batch; the
//! [`patchbay_fence`] is what makes a cutover exact. [`turn`] is a seat's visit, [`recall`] takes
//! windows back, [`attend`] knows who has to be woken, a [`courier`] publishes what handlers forward,
//! and [`split`] says which generation gets what.

mod alone;
mod attend;
pub(crate) mod beyond;
mod burial;
mod consult;
mod courier;
pub(crate) mod desk;
pub(crate) mod durable;
pub(crate) mod estate;
pub(crate) mod forward;
mod held;
pub(crate) mod inbox;
pub(crate) mod intake;
mod keyed;
mod look;
mod near;
pub(crate) mod recall;
pub(crate) mod refill;
pub(crate) mod room;
pub(crate) mod seat;
pub(crate) mod service;
pub(crate) mod split;
mod store;
mod turn;
mod wheel;
pub(crate) mod window;
