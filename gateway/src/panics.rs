//! A defect in one request must not take others down.

use crate::problem::{Code, Problem};
use axum::response::{IntoResponse, Response};
use std::any::Any;

/// The reply to a request whose handler panicked.
pub fn reply(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)");
    tracing::error!(panic = text, "a request handler panicked");
    Problem::new(Code::Internal, "The service met a defect of its own; its log has the details.")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, routing::get};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    #[tokio::test]
    async fn a_panic_becomes_a_problem() {
        async fn defect() {
            let number: Result<u8, _> = "x".parse();
            number.unwrap();
        }
        let router = Router::new().route("/", get(defect)).layer(CatchPanicLayer::custom(reply));
        let response = router.oneshot(http::Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "internal");
        assert!(!problem["detail"].as_str().unwrap().contains("ParseInt"));
    }
}
