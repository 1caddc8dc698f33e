//! What documentation and examples show is what the pooler takes: every configuration of theirs passes
//! `--check`, and the example that runs on one machine runs.

use crate::common::certs::certs;
use crate::common::{account, programs, reaper};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fenced block of a page.
struct Block {
    label: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(programs::in_repository(page)).expect("is there");
    let inside = |part: &str| {
        let (label, text) = part.split_once('\n').expect("a fence is a line");
        Block { label: label.to_owned(), text: text.to_owned() }
    };
    text.split("```").skip(1).step_by(2).map(inside).collect()
}

/// An empty directory with the certificates that samples name.
fn directory(name: &str) -> PathBuf {
    let directory = reaper::directory().join(name);
    std::fs::create_dir(&directory).expect("the parent is ours");
    account::hand_over(&directory, 0o755);
    let of = |path: PathBuf| std::fs::read(path).expect("is there");
    let (certificate, key, ca) = (of(certs().server()), of(certs().server_key()), of(certs().ca()));
    for (file, text) in [
        ("server.crt", &certificate),
        ("server.key", &key),
        ("tls.crt", &certificate),
        ("tls.key", &key),
        ("ca.crt", &ca),
        ("global-bundle.pem", &ca),
    ] {
        account::write(&directory.join(file), text, 0o600);
    }
    for (file, text) in [
        ("userlist.txt", r#""app" "secret""#),
        ("app", "secret"),
        ("report", r#"{"username":"report","password":"secret"}"#),
        ("users", r#""app" "secret""#),
        ("denied", "mallory@example.org"),
    ] {
        account::write(&directory.join(file), text, 0o600);
    }
    directory
}

/// A sample's paths, led into `directory`.
fn settled(text: &str, directory: &Path) -> String {
    let here = format!("{}/", directory.display());
    let places = [
        "/etc/pgweir-tls/",
        "/etc/pgweir/",
        "/var/log/pgweir/",
        "/var/run/secrets/kubernetes.io/serviceaccount/",
        "/run/secrets/",
        "@WORK@/",
    ];
    let text = places.iter().fold(text.to_owned(), |text, place| text.replace(place, &here));
    text.replace("@PORT@", "6432").replace("@PG_PORT@", "5432")
}

/// What `--check` says of a configuration that lies in `directory`.
#[track_caller]
fn assert_is_taken(what: &str, ini: &str, directory: &Path) {
    let file = directory.join("pgweir.ini");
    account::write(&file, settled(ini, directory), 0o600);
    let mut command = account::command(programs::pooler());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let output = command.arg("--check").arg(&file).current_dir(directory).output().expect("it runs");
    let said = programs::said(&output);
    assert!(output.status.success() && said.contains("pgweir.ini: ok"), "{what}:\n{ini}\n{said}");
    assert!(!said.contains("warning: "), "{what} is shown with a doubt:\n{ini}\n{said}");
}

/// Checks every block of configuration of `page`, each beside all its maps of claims and the hba file that
/// follows it. One with issuers alone stands in the first block in the place of that one's.
fn check_page(page: &str, expected: usize) {
    let directory = directory(&page.replace('/', "-"));
    let blocks = blocks(page);
    let of = |label: &str| -> Vec<_> { blocks.iter().filter(|block| block.label == label).collect() };
    let claims: String = of("claims").iter().map(|block| &*block.text).collect();
    let claims = if claims.is_empty() { "staff groups readers app_ro\n" } else { &claims };
    account::write(&directory.join("claims.conf"), claims, 0o600);
    let ours = of("ini");
    assert_eq!(ours.len(), expected, "{page} has so many");
    let mut count = 0;
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.label == "ini") {
        let hba = blocks[at..].iter().find(|block| block.label == "hba");
        let hba = hba.map_or("", |block| &block.text);
        account::write(&directory.join("hba.conf"), hba, 0o600);
        let ini = match block.text.strip_prefix("[issuers]\n") {
            Some(issuers) if !issuers.contains("[pgbouncer]") => in_place_of_issuers(&ours[0].text, issuers),
            _ => block.text.clone(),
        };
        assert_is_taken(page, &ini, &directory);
        count += 1;
    }
    assert_eq!(count, expected);
}

fn in_place_of_issuers(whole: &str, issuers: &str) -> String {
    let (before, rest) = whole.split_once("[issuers]\n").expect("the first block has issuers");
    let (_, after) = rest.split_once("[pgbouncer]\n").expect("and settings behind them");
    format!("{before}[issuers]\n{issuers}\n[pgbouncer]\n{after}")
}

#[test]
fn every_configuration_of_the_page_of_identities_is_taken() {
    check_page("docs/identity.md", 8);
}

#[test]
fn every_configuration_of_the_page_of_secrets_is_taken() {
    check_page("docs/secrets.md", 2);
}

#[test]
fn every_configuration_of_the_readme_is_taken() {
    check_page("README.md", 2);
}

#[test]
fn every_configuration_of_the_examples_is_taken() {
    for (example, claims) in
        [("api-gateway-lambda/local", "claims.map"), ("ecs", "claims.conf"), ("eks", "claims.conf")]
    {
        let directory = directory(&format!("example-{}", example.replace('/', "-")));
        let read = |file: &str| self::example(&format!("{example}/{file}"));
        account::write(&directory.join(claims), read(claims), 0o600);
        let mut keys = Command::new(programs::in_repository(".venv/bin/python"));
        keys.arg(programs::in_repository("examples/api-gateway-lambda/local/issuer.py"));
        programs::run(keys.arg(&directory).arg("keys"));
        account::hand_over(&directory.join("jwks.json"), 0o600);
        assert_is_taken(example, &read("pgweir.ini"), &directory);
    }
}

/// A file of the examples.
fn example(file: &str) -> String {
    std::fs::read_to_string(programs::in_repository("examples").join(file)).expect("is there")
}

/// The documents of a file of YAML; `!Ref NAME` of CloudFormation is NAME.
fn documents(file: &str) -> Vec<Value> {
    const READ: &str = "import json, sys, yaml\n\
        of = lambda loader, tag, node: node.value if isinstance(node.value, str) else tag\n\
        yaml.SafeLoader.add_multi_constructor('!', of)\n\
        print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut read = Command::new(programs::in_repository(".venv/bin/python"));
    read.args(["-c", READ]).arg(programs::in_repository("examples").join(file));
    serde_json::from_str(&programs::run(&mut read)).expect("it prints JSON")
}

/// The items of a list, by what they say in `key`.
fn named<'a>(list: &'a Value, key: &str) -> Vec<&'a Value> {
    list.as_array().expect("a list").iter().map(|item| &item[key]).collect()
}

#[test]
fn health_of_containers_is_asked_where_the_configuration_answers_without_a_program_of_the_image() {
    for file in ["ecs/pgweir.ini", "eks/pgweir.ini"] {
        assert!(example(file).contains("\nmetrics_listen = 0.0.0.0:9127\n"), "{file}");
    }
    let task: Value = serde_json::from_str(&example("ecs/task-definition.json")).expect("it is JSON");
    let container = &task["containerDefinitions"][0];
    assert_eq!(container["healthCheck"], Value::Null, "the image has neither a shell nor curl");
    assert_eq!(named(&container["portMappings"], "containerPort"), [6432, 9127]);

    let deployment = documents("eks/irsa.yaml");
    let pod = &deployment[1]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["ports"][1], serde_json::json!({"name": "metrics", "containerPort": 9127}));
    for (probe, path) in [("readinessProbe", "/ready"), ("livenessProbe", "/live")] {
        let expected = serde_json::json!({"httpGet": {"path": path, "port": "metrics"}});
        assert_eq!(container[probe], expected);
    }
    assert_eq!(named(&container["volumeMounts"], "name"), named(&pod["volumes"], "name"));
}

#[test]
fn parts_of_the_examples_name_each_other() {
    let (service, caller) = (&documents("eks/irsa.yaml")[2], &documents("eks/caller.yaml")[1]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let environment = &caller["spec"]["containers"][0]["env"];
    let host =
        format!("{}.{}.svc", text(&service["metadata"]["name"]), text(&service["metadata"]["namespace"]));
    assert_eq!(environment[0]["value"], host.as_str());
    let account = format!(
        "system:serviceaccount:{}:{}",
        text(&caller["metadata"]["namespace"]),
        text(&caller["spec"]["serviceAccountName"])
    );
    let words = |file: &str| example(file).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let map = words("eks/claims.conf");
    assert!(map.contains(&account) && map.contains(&text(&environment[3]["value"])), "{map:?}");

    let template = &documents("api-gateway-lambda/template.yaml")[0];
    let role = text(&template["Parameters"]["DatabaseRole"]["Default"]);
    let map = words("api-gateway-lambda/local/claims.map");
    assert!(map.contains(&role), "{map:?}");
    let limit = map.iter().find_map(|word| word.strip_prefix("query_timeout=")).expect("there is one");
    let limit: u64 = limit.parse().expect("seconds");
    assert!(limit < template["Resources"]["Orders"]["Properties"]["Timeout"].as_u64().expect("seconds"));
}

#[test]
fn the_example_of_an_http_function_runs_on_one_machine() {
    let mut run = programs::limited("sh");
    run.arg(programs::in_repository("examples/api-gateway-lambda/local/run.sh"));
    run.env("PGWEIR_BIN", programs::pooler()).env("TMPDIR", reaper::directory());
    let said = programs::run(&mut run);
    let has = |line: &str| assert!(said.contains(line), "no {line} in:\n{said}");
    has("\n200 [{\"id\": 2, \"item\": \"nut\", \"quantity\": 250}, {\"id\": 1, \"item\": \"bolt\"");
    let refused = said.matches("\n403 {\"error\": \"not allowed\"}\n").count();
    assert_eq!(refused, 2, "by the map, and by the list of those denied:\n{said}");
    has("\"reason\":\"principal is denied\"");
    has("\n504 {\"error\": \"the query has taken too long\"}");
    has("\"principal\":\"ada@example.org\"");
    has("\"event\":\"login_refused\"");
    has("\"context\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}");
    has("|ada@example.org|orders LOG:");
}
