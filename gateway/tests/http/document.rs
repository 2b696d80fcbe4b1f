//! The API's document: what is committed, served and routed is one and the same.

use crate::house::{House, Reply};
use reqwest::Method;
use scriptorium_gateway::{Address, Door, GatewayConfig, Tenancy, addresses};
use scriptorium_shared::limiter::{EmbeddedLimiter, Limiter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "trace"];

fn document() -> Value {
    serde_json::from_str(&scriptorium_gateway::document()).unwrap()
}

/// Methods by path.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &Value| path.as_object().unwrap().keys().cloned().collect();
    paths.iter().map(|(path, value)| (path.clone(), methods(value))).collect()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how `make docs` asks for it")]
fn the_committed_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let document = scriptorium_gateway::document();
    if std::env::var_os("SCRIPTORIUM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/openapi.json is not what the routes say: run `make docs`");
}

/// axum tells of its routes only here: `RouteId(1): MethodRouter(MethodRouter { get: Route, head: None, … })` of all routes,
/// and `RouteId(1): "/jobs"` of all paths.
fn routed(router: &str) -> BTreeMap<String, BTreeSet<String>> {
    let routes = router.split("fallback_router").next().unwrap();
    let (routers, paths) = routes.split_once("Node { paths: {").unwrap();
    let mut paths_by_id = BTreeMap::new();
    for entry in paths.split("RouteId(").skip(1) {
        let (id, path) = entry.split_once("): \"").unwrap();
        paths_by_id.insert(id.to_owned(), path.split('"').next().unwrap().to_owned());
    }
    let mut found = BTreeMap::new();
    for entry in routers.split("RouteId(").skip(1) {
        let (id, router) = entry.split_once("): MethodRouter(MethodRouter { ").unwrap();
        let methods = METHODS.iter().chain(&["options", "connect"]).filter(|method| {
            let kind = router.split_once(&format!("{method}: ")).unwrap().1;
            !kind.starts_with("None")
        });
        found.insert(paths_by_id[id].clone(), methods.map(|method| (*method).to_owned()).collect());
    }
    assert_eq!(found.len(), paths_by_id.len(), "{router}");
    found
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else_is() {
    let house = House::new().await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let access =
        Tenancy { directory: house.directory.clone(), limiter: Limiter::Embedded(EmbeddedLimiter::new()) };
    let (config, jobs) = (GatewayConfig::default(), house.jobs.clone());
    let router = scriptorium_gateway::router(config, jobs, access, shutdown.clone(), &tasks);
    let routed = routed(&format!("{router:?}"));
    assert!(routed.len() > 15, "{routed:?}");
    assert_eq!(routed, documented());
    shutdown.cancel();
    house.stop().await;
}

#[test]
fn what_is_a_tenants_says_so() {
    let document = document();
    for Address { method, path, door } in addresses() {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let asks = operation["security"]
            .as_array()
            .is_some_and(|any| any.iter().any(|one| one.get("key").is_some()));
        let told = ["401", "429"].map(|status| operation["responses"].get(status).is_some());
        assert_eq!((asks, told), (door == Door::Tenant, [door == Door::Tenant; 2]), "{method} {path}");
    }
}

/// Replies of tenants' routes tell of the rate; those that want a key, of which kind.
#[test]
fn headers_of_keys_and_rates_are_told() {
    let document = document();
    for Address { method, path, door } in addresses() {
        let replies = &document["paths"][path][method.as_str().to_lowercase()]["responses"];
        for (status, reply) in replies.as_object().unwrap() {
            let told = ["RateLimit", "RateLimit-Policy", "WWW-Authenticate"]
                .map(|name| reply["headers"].get(name).is_some());
            let (tenants, unauthorized) = (door == Door::Tenant, status == "401");
            let meant = [tenants && !unauthorized, tenants && !unauthorized, unauthorized];
            assert_eq!(told, meant, "{method} {path} {status}");
            let later = reply["headers"].get("Retry-After").is_some();
            assert_eq!(later, ["429", "503"].contains(&status.as_str()), "{method} {path} {status}");
        }
    }
}

/// With an id that is one, but of no job.
fn address(path: &str) -> String {
    path.replace("{id}", "018f6d1e-6c1c-7c5c-9a54-0f4b5c3a2d1e")
        .replace("{webhook}", "msg_018f6d1e6c1c7c5c9a540f4b5c3a2d1e_1")
        .replace("{code}", "job_not_found")
}

#[tokio::test]
async fn documented_methods_answer_and_others_are_told_which_ones_do() {
    let house = House::new().await;
    let document = document();
    for (path, methods) in documented() {
        for method in METHODS {
            let name: Method = method.to_uppercase().parse().unwrap();
            let reply = Reply::of(house.http.request(name, house.url(&address(&path)))).await;
            if methods.contains(method) {
                let known = &document["paths"][&path][method]["responses"];
                assert!(known.get(reply.status.to_string()).is_some(), "{method} {path}: {}", reply.status);
                let code = serde_json::from_str::<Value>(&reply.body).ok().map(|body| body["code"].clone());
                assert!(code.is_none_or(|code| code != "route_not_found"), "{method} {path}");
            } else {
                assert_eq!(reply.status, 405, "{method} {path}");
                let allow = reply.headers["allow"].to_str().unwrap().to_lowercase();
                let allowed: BTreeSet<String> =
                    allow.split(',').map(str::trim).filter(|one| *one != "head").map(str::to_owned).collect();
                assert_eq!(allowed, methods, "{method} {path}");
            }
        }
    }
    house.stop().await;
}

#[test]
fn the_document_is_sound() {
    let document = document();
    let (mut names, mut references) = (BTreeSet::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(
                names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{at}: its name is taken"
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}: no summary");
            let tags = document["tags"].as_array().unwrap();
            assert!(tags.iter().any(|tag| tag["name"] == operation["tags"][0]), "{at}: no tag");
            let in_path = |parameter: &&Value| parameter["in"] == "path";
            let parameters = operation["parameters"].as_array().unwrap().iter().filter(in_path);
            let told: BTreeSet<&str> =
                parameters.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            let meant: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(told, meant, "{at}");
            let replies = operation["responses"].as_object().unwrap();
            assert!(replies.keys().any(|status| status.starts_with('2')), "{at}: it has no good end");
            assert!(replies.values().all(|reply| !reply["description"].as_str().unwrap().is_empty()), "{at}");
        }
    }
    collect(&document, &mut references, &mut BTreeSet::new());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut linked = BTreeSet::new();
    collect(&document["paths"], &mut BTreeSet::new(), &mut linked);
    assert!(linked.is_subset(&names), "links to what is not there: {linked:?}");
}

/// All references, and the names of operations that links lead to.
fn collect(value: &Value, references: &mut BTreeSet<String>, linked: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            linked.extend(members.get("operationId").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, references, linked));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references, linked)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let house = House::new().await;
    let served = house.get("/openapi.json").await;
    assert_eq!((served.status, served.content_type.as_str()), (200, "application/json"));
    assert_eq!(served.body, scriptorium_gateway::document());
    let page = house.get("/docs").await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    // Nothing from elsewhere, and nothing that runs.
    for foreign in ["<script", "<link", "<img", "src=", "url(", "@import", "href=\"http", "onclick", "style="]
    {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let heading = format!("{}</b> <code>{path}</code>", method.to_uppercase());
            assert!(page.body.contains(&heading), "{heading}");
            let id = format!("id=\"{}\"", operation["operationId"].as_str().unwrap());
            assert!(page.body.contains(&id), "{id}");
        }
    }
    // Each link of the page leads somewhere.
    let links: BTreeSet<&str> =
        page.body.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 40, "{links:?}");
    for link in links {
        match link.strip_prefix('#') {
            Some(id) => assert!(page.body.contains(&format!("id=\"{id}\"")), "{link}"),
            None => assert_eq!(house.get(link).await.status, 200, "{link}"),
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn pages_of_problems_that_are_none_are_told_as_such() {
    let house = House::new().await;
    for name in ["nothing", "JOB_NOT_FOUND", "%ff", "%00", "job_not_found%20"] {
        house.get(&format!("/docs/errors/{name}")).await.is_problem(404, "route_not_found");
    }
    house.stop().await;
}
