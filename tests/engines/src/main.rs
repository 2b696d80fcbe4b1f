//! The binary `scriptorium-test-worker`; see `role`.

#[tokio::main]
async fn main() {
    scriptorium_test_engines::role::run().await;
}
