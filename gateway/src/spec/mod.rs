//! The API's document (OpenAPI 3.1), made together with the router: one call adds a route to both, under the same method and
//! path, with the handler's own types. So neither can have what the other lacks. Pure, but for the handlers it passes on.
//!
//! What a handler reads is told by its parameters ([`extract`]), with the problems that reading them may end in; what it
//! answers by its type ([`returns`]); the rest by the function beside the handler that describes its [`Operation`].

mod document;
mod extract;
mod operation;
pub mod page;
mod returns;
mod routes;
mod schemas;

pub use document::{Address, Document, Door, STREAM_TOKEN};
pub use operation::{ErrorForm, Operation};
pub use routes::Routes;
pub use schemas::Schemas;
