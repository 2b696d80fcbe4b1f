//! RabbitMQ as its management plugin shows it, by HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the plugin may take to answer after a start of the broker, which is ready before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One virtual host of a broker.
#[derive(Clone, Debug)]
pub struct Broker {
    http: reqwest::Client,
    address: String,
    user: String,
    password: String,
    /// As it is written in addresses: `%2f` for `/`.
    pub vhost: String,
}

impl Broker {
    /// `amqp_url` is what the roles get, `port` the plugin's.
    pub fn new(amqp_url: &str, port: u16) -> Self {
        let (login, rest) = amqp_url.strip_prefix("amqp://").and_then(|rest| rest.split_once('@')).unwrap();
        let (user, password) = login.split_once(':').unwrap();
        Self {
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap(),
            address: format!("http://127.0.0.1:{port}/api"),
            user: user.to_owned(),
            password: password.to_owned(),
            vhost: rest.split_once('/').unwrap().1.to_owned(),
        }
    }

    /// The answer's body, `Null` if it has none; else what went wrong.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let request = self.http.request(method, format!("{}/{path}", self.address));
        let request = request.basic_auth(&self.user, Some(&self.password)).json(&body);
        let reply = request.send().await.map_err(|error| error.to_string())?;
        let status = reply.status();
        let text = reply.text().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{path} → {status}: {text}"));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// As [`Broker::ask`], again and again until it succeeds.
    pub async fn insist(&self, method: Method, path: &str, body: Value) -> Value {
        let begun = Instant::now();
        loop {
            match self.ask(method.clone(), path, body.clone()).await {
                Ok(answer) => return answer,
                Err(trouble) => assert!(begun.elapsed() < PATIENCE, "RabbitMQ's management: {trouble}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Messages in each queue as the broker counts them, which is a second or so late.
    pub async fn queues(&self) -> Vec<(String, u64)> {
        let path = format!("queues/{}", self.vhost);
        let reply = self.insist(Method::GET, &path, Value::Null).await;
        let of = |queue: &Value| {
            (queue["name"].as_str().unwrap().to_owned(), queue["messages"].as_u64().unwrap_or(u64::MAX))
        };
        reply.as_array().expect("a list of queues").iter().map(of).collect()
    }

    /// Puts a message into a queue; tells whether it is there.
    pub async fn publish(&self, queue: &str, properties: &Value, payload: &str) -> Result<bool, String> {
        let body = json!({
            "properties": properties, "routing_key": queue, "payload": payload, "payload_encoding": "string",
        });
        let path = format!("exchanges/{}/amq.default/publish", self.vhost);
        Ok(self.ask(Method::POST, &path, body).await?["routed"] == true)
    }
}
