//! The roles on services that are reached by TLS, with certificates of an authority of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use scriptorium_tests::certificates::Certificates;
use scriptorium_tests::services::{self, Services};
use scriptorium_tests::{Client, Plan, Stack, recordings};
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What RabbitMQ is told besides its usual settings: a door for TLS, at which each client shows a certificate.
fn broker(certificates: &Certificates, port: u16) -> String {
    let path = |name: &str| certificates.path(name).display().to_string();
    format!(
        "listeners.ssl.test = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
        path("authority.pem"),
        path("server.pem"),
        path("server.key")
    )
}

fn redis(certificates: &Certificates, port: u16) -> Process {
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    redis.args(["--appendonly", "yes", "--tls-auth-clients", "yes", "--requirepass", "word"]);
    redis.args(["--tls-ca-cert-file", "authority.pem", "--tls-cert-file", "server.pem"]);
    redis.args(["--tls-key-file", "server.key"]).current_dir(certificates.folder());
    Process(redis.stdout(Stdio::null()).spawn().unwrap())
}

/// What comes by TLS goes on to the object store.
fn s3(certificates: &Certificates, port: u16, to: u16) -> Process {
    let mut proxy = Command::new("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tls_proxy.py");
    proxy.arg("-B").arg(script).args([port.to_string(), to.to_string()]).current_dir(certificates.folder());
    Process(proxy.spawn().unwrap())
}

/// A role with these settings, which is to end by itself.
fn run(stack: &Stack, role: &str, settings: &[(&str, String)]) -> Output {
    let mut command = Command::new("timeout");
    let role = stack.command(&[role]);
    command.arg("60").arg(role.get_program()).args(role.get_args());
    for (name, value) in role.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .env("SCRIPTORIUM_OPS_LISTEN", "127.0.0.1:0");
    command.env("SCRIPTORIUM_LISTEN", "127.0.0.1:0").output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_reach_their_services_by_tls_and_say_what_is_wrong_with_a_certificate() {
    if !services::wanted() {
        return;
    }
    let certificates = Certificates::make();
    let [amqp_port, redis_port, s3_port] = [free_port(), free_port(), free_port()];
    let settings = broker(&certificates, amqp_port);
    let services = tokio::task::spawn_blocking(move || Services::start_with(Some(&settings))).await.unwrap();
    let _redis = redis(&certificates, redis_port);
    let _s3 = s3(&certificates, s3_port, services.port_of("s3"));

    let setting = |name: &str| services.env().iter().find(|(found, _)| found == name).unwrap().1.clone();
    let amqp = setting("SCRIPTORIUM_AMQP_URL").replace("amqp://", "amqps://");
    let amqp = amqp.replace(&format!(":{}/", services.port_of("rabbitmq")), &format!(":{amqp_port}/"));
    let path = |name: &str| certificates.path(name).display().to_string();
    let by_tls = [
        ("SCRIPTORIUM_AMQP_URL", amqp),
        ("SCRIPTORIUM_REDIS_URL", format!("rediss://:word@localhost:{redis_port}/0")),
        ("SCRIPTORIUM_S3_ENDPOINT", format!("https://localhost:{s3_port}")),
        // Those who upload have certificates of their own to see to.
        ("SCRIPTORIUM_S3_PUBLIC_ENDPOINT", setting("SCRIPTORIUM_S3_ENDPOINT")),
        ("SCRIPTORIUM_TLS_CA_FILE", path("authority.pem")),
        ("SCRIPTORIUM_TLS_CERTIFICATE_FILE", path("client.pem")),
        ("SCRIPTORIUM_TLS_KEY_FILE", path("client.key")),
    ];
    let plan = Plan::pairs(&by_tls.each_ref().map(|(name, value)| (*name, value.as_str())));
    let mut stack = Stack::on(Arc::new(services), &plan).await;
    wrong_certificates_are_told_of(&stack, &by_tls, &certificates);
    stack.resume_all().await;
    let minute = recordings::converted(&["-t", "60", "-ar", "48000", "-c:a", "pcm_s16le"], "wav");
    let session = Client::new(&stack.gateways()[0]).open("minute.wav", minute, 1, json!({})).await;
    session.upload_all().await;
    assert_eq!(session.ended().await.data["status"], "completed");
    assert!(session.transcript("txt").await.contains("Printing"));
}

fn wrong_certificates_are_told_of(stack: &Stack, by_tls: &[(&str, String)], certificates: &Certificates) {
    let stranger = ("SCRIPTORIUM_TLS_CA_FILE", certificates.path("stranger.pem").display().to_string());
    let plain = |name: &str| stack.services.env().iter().find(|(found, _)| found == name).unwrap().1.clone();
    // Of the two, the other is reached without TLS, so that it is not the one that is told of.
    for (service, other) in [("RabbitMQ", "SCRIPTORIUM_REDIS_URL"), ("Redis", "SCRIPTORIUM_AMQP_URL")] {
        let mut settings = by_tls.to_vec();
        settings.push((other, plain(other)));
        settings.push(stranger.clone());
        let output = run(stack, "gateway", &settings);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{service}: {:?}: {told}", output.status);
        for word in [service, "UnknownIssuer", "--tls-ca-file"] {
            assert!(told.contains(word), "{service}: {word:?} is missing in {told}");
        }
        assert!(!told.contains("word@"), "a password is told: {told}");
    }
}
