//! Routes on their way into the router and into its document.

use super::extract::Extracted;
use super::returns::Returned;
use super::{Address, Document, Door, Operation};
use crate::state::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use http::Method;

/// A handler that can be described: a function whose parameters and whose reply can be. `T` are its parameters.
pub trait Described<T> {
    fn describe(operation: &mut Operation<'_>);
}

impl<F, Fut> Described<()> for F
where
    F: Fn() -> Fut,
    Fut: Future<Output: Returned>,
{
    fn describe(operation: &mut Operation<'_>) {
        Fut::Output::describe(operation);
    }
}

impl<F, Fut, A> Described<(A,)> for F
where
    F: Fn(A) -> Fut,
    Fut: Future<Output: Returned>,
    A: Extracted,
{
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        Fut::Output::describe(operation);
    }
}

impl<F, Fut, A, B> Described<(A, B)> for F
where
    F: Fn(A, B) -> Fut,
    Fut: Future<Output: Returned>,
    A: Extracted,
    B: Extracted,
{
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
        Fut::Output::describe(operation);
    }
}

impl<F, Fut, A, B, C> Described<(A, B, C)> for F
where
    F: Fn(A, B, C) -> Fut,
    Fut: Future<Output: Returned>,
    A: Extracted,
    B: Extracted,
    C: Extracted,
{
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
        C::describe(operation);
        Fut::Output::describe(operation);
    }
}

impl<F, Fut, A, B, C, D> Described<(A, B, C, D)> for F
where
    F: Fn(A, B, C, D) -> Fut,
    Fut: Future<Output: Returned>,
    A: Extracted,
    B: Extracted,
    C: Extracted,
    D: Extracted,
{
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
        C::describe(operation);
        D::describe(operation);
        Fut::Output::describe(operation);
    }
}

impl<F, Fut, A, B, C, D, E> Described<(A, B, C, D, E)> for F
where
    F: Fn(A, B, C, D, E) -> Fut,
    Fut: Future<Output: Returned>,
    A: Extracted,
    B: Extracted,
    C: Extracted,
    D: Extracted,
    E: Extracted,
{
    fn describe(operation: &mut Operation<'_>) {
        A::describe(operation);
        B::describe(operation);
        C::describe(operation);
        D::describe(operation);
        E::describe(operation);
        Fut::Output::describe(operation);
    }
}

/// Routes behind one door, and what is known of them and of those before.
pub struct Routes {
    door: Door,
    router: Router<App>,
    document: Document,
}

impl Routes {
    pub fn new(door: Door, document: Document) -> Self {
        Self { door, router: Router::new(), document }
    }

    pub fn get<H, T, U>(self, path: &'static str, handler: H, describe: fn(&mut Operation<'_>)) -> Self
    where
        H: Handler<T, App> + Described<U>,
        T: 'static,
    {
        self.add((MethodFilter::GET, Method::GET), path, handler, describe)
    }

    pub fn post<H, T, U>(self, path: &'static str, handler: H, describe: fn(&mut Operation<'_>)) -> Self
    where
        H: Handler<T, App> + Described<U>,
        T: 'static,
    {
        self.add((MethodFilter::POST, Method::POST), path, handler, describe)
    }

    pub fn delete<H, T, U>(self, path: &'static str, handler: H, describe: fn(&mut Operation<'_>)) -> Self
    where
        H: Handler<T, App> + Described<U>,
        T: 'static,
    {
        self.add((MethodFilter::DELETE, Method::DELETE), path, handler, describe)
    }

    fn add<H, T, U>(
        mut self,
        (filter, method): (MethodFilter, Method),
        path: &'static str,
        handler: H,
        describe: fn(&mut Operation<'_>),
    ) -> Self
    where
        H: Handler<T, App> + Described<U>,
        T: 'static,
    {
        self.document.add(Address { method, path, door: self.door }, |operation| {
            H::describe(operation);
            describe(operation);
        });
        Self { router: self.router.route(path, on(filter, handler)), ..self }
    }

    pub fn finish(self) -> (Router<App>, Document) {
        (self.router, self.document)
    }
}
