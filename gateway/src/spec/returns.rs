//! What an operation answers when all is well, by the type that its handler returns.

use super::Operation;
use crate::problem::Problem;
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;

/// What a handler returns.
pub trait Returned {
    fn describe(operation: &mut Operation<'_>);
}

/// Whatever it is, the operation's own description tells.
impl Returned for Response {
    fn describe(_: &mut Operation<'_>) {}
}

/// With 200, unless the operation's own description tells otherwise.
impl<T: JsonSchema> Returned for axum::Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.schemas().written::<T>();
        operation.returns(schema);
    }
}

/// With which ones, the operation's own description tells.
impl<T: Returned> Returned for (StatusCode, T) {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}

/// With which ones, the operation's own description tells.
impl<T: Returned> Returned for Result<T, Problem> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}
