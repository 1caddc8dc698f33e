//! What must hold for any bytes as values of `iam_*` settings, as the words of a server that refuses
//! a login, and as answers of AWS to the libraries that fetch credentials. `tests/corpus.rs` replays
//! the corpus through this.
//!
//! The input is cut at zero bytes; what is missing is empty.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use pgweir::base::Micros;
use pgweir::iam::age::OnDenied;
use pgweir::iam::denial::{Evidence, Outcome, Reactions, Stage, Who};
use pgweir::iam::rules::{Keys, Rules};
use pgweir::iam::{
    AwsSource, Credentials, Endpoint, Explanation, Fetch, FetchError, Region, Role, SessionName, SourceKey,
    SourceKind, SystemClock, Token, reason_of_text,
};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A secret that no text may hold unless the input does.
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

/// Runs all three on `data`.
pub fn run(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let [host, user, region, arn, id, name, state, message] = [(); 8].map(|()| text(part()));
    let endpoint = settings(&host, &region, [&arn, &id, &name]);
    together(&host, &region, [&arn, &id, &name, &state, &user]);
    if let Some(endpoint) = &endpoint {
        token(endpoint, &user);
        refusal(endpoint, &user, &state, &message);
    }
    let [role, imds, sts] = [(); 3].map(|()| part().to_vec());
    answers(role, imds, sts);
    let _ = reason_of_text(&message);
}

/// Values of settings: what is accepted is made of harmless characters.
fn settings(host: &str, region: &str, [arn, id, name]: [&str; 3]) -> Option<Endpoint> {
    for word in [host, region, arn, id, name] {
        if let Ok(kind) = word.parse::<SourceKind>() {
            assert_eq!(kind.name(), word.replace('-', "_"));
        }
        if let Ok(value) = word.parse::<OnDenied>() {
            assert_eq!(value.name(), word);
        }
    }
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let role = Role::new(arn, Some(id)).ok();
    assert!(role.as_ref().is_none_or(|role| plain(role.arn()) && plain(id)));
    let session: Option<SessionName> = name.parse().ok();
    assert!(session.is_none() || plain(name));
    let given: Option<Region> = region.parse().ok();
    assert!(given.as_ref().is_none_or(|given| given.as_str() == region && plain(region)));
    if let Some(found) = Region::of_host(host) {
        assert_eq!(
            found.as_str().parse::<Region>().as_ref(),
            Ok(&found),
            "a region that is found could be given"
        );
    }
    let endpoint = Endpoint::new(host, 5432, given).ok()?;
    assert!(plain(endpoint.host()) && !endpoint.host().contains(['/', '?', '&', ':', '@']));
    endpoint.doubts().for_each(|doubt| assert!(!doubt.to_string().is_empty()));
    let key = SourceKey::new(SourceKind::Default, Some(name), role, session, endpoint.region());
    assert!(!key.to_string().is_empty());
    Some(endpoint)
}

/// What is written, if anything is.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The keys of a database: either all rules, or each error with a key and in one line.
fn together(host: &str, region: &str, [arn, id, name, number, source]: [&str; 5]) {
    let keys = Keys {
        hosts: &[host],
        port: 5432,
        iam_host: some(name),
        iam_port: some(number),
        iam_region: some(region),
        iam_credential_source: some(source),
        iam_profile: some(name),
        iam_role_arn: some(arn),
        iam_external_id: some(id),
        iam_session_name: some(name),
        iam_max_age: some(number),
        iam_login_rate: some(number),
        iam_on_denied: some(source),
        ..Keys::default()
    };
    match Rules::read(&keys) {
        Ok(rules) => assert_eq!(rules.endpoints.len(), 1),
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| assert!(!error.key.is_empty() && !error.why.is_empty()));
        }
    }
}

/// A token for any user is one line of harmless characters, and holds the user once.
fn token(endpoint: &Endpoint, user: &str) {
    let credentials = Credentials::made_of("AKIDEXAMPLE", SECRET, None, None);
    let now = UNIX_EPOCH + Duration::from_secs(1_724_709_600);
    let Ok(token) = Token::mint(endpoint, user, &credentials, now) else {
        assert!(user.is_empty() || user.len() > 127 || user.contains('\0'), "{user:?}");
        return;
    };
    let text = token.expose();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(SECRET));
    let (address, query) = text.split_once("/?").expect("a query");
    assert_eq!(address, endpoint.to_string());
    assert_eq!(query.split('&').count(), 8);
    assert_eq!(query.matches("DBUser=").count(), 1);
}

/// Any words of a server lead to a step that is not too far away, and an explanation.
fn refusal(endpoint: &Endpoint, user: &str, state: &str, message: &str) {
    let mut all = Reactions::default();
    let source = SourceKey::new(SourceKind::Imds, None, None, None, endpoint.region());
    let who = Who { user: user.into(), source };
    let evidence = Evidence::default();
    let mut now = Micros(0);
    for stage in [Stage::Greeting, Stage::TokenSent, Stage::Authenticated].into_iter().cycle().take(9) {
        now = now + Micros::from_secs(20);
        let outcome = Outcome::Error { sqlstate: state, message, stage };
        if let Some(judgement) = all.failed(&who, &outcome, &evidence, now, now, 0.5) {
            assert!(
                all.may_try(&who, now).err().is_none_or(|until| until.since(now) <= Micros::from_secs(15))
            );
            let text = Explanation { judgement, endpoint, user, source: &"imds", detail: None }.to_string();
            assert!(text.contains(endpoint.host()));
        }
    }
    let error = FetchError::of_answer(Some(state), Some(message), Some(400));
    assert!(!error.to_string().contains('\n'));
}

/// The metadata service and STS, answering with whatever the input holds.
#[derive(Clone, Debug)]
struct Answers {
    role: Vec<u8>,
    imds: Vec<u8>,
    sts: Vec<u8>,
}

impl HttpConnector for Answers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
        let uri = request.uri();
        let body = match uri {
            _ if uri.ends_with("/latest/api/token") => b"token".to_vec(),
            _ if uri.ends_with("/security-credentials/") => self.role.clone(),
            _ if uri.contains("/security-credentials/") => self.imds.clone(),
            _ => self.sts.clone(),
        };
        let mut response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(body));
        response.headers_mut().insert(TTL, "21600");
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn answers(role: Vec<u8>, imds: Vec<u8>, sts: Vec<u8>) {
    let http: SharedHttpClient = http_client_fn({
        let answers = SharedHttpConnector::new(Answers { role, imds, sts });
        move |_, _| answers.clone()
    });
    let region: Region = "eu-west-1".parse().expect("a region");
    let role = Role::new("arn:aws:iam::123456789012:role/a", None).expect("a role");
    let key = SourceKey::new(SourceKind::Imds, None, Some(role), None, &region);
    // Time stands still but for sleeping: pauses between tries take none.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let source = Arc::new(AwsSource::new(key, region, Arc::new(SystemClock), http.into()));
    match runtime.block_on(Arc::clone(&source).fetch()) {
        Ok(fetched) => {
            let credentials = fetched.credentials;
            let (key, secret) =
                (credentials.access_key_id().to_owned(), credentials.secret_access_key().to_owned());
            let session = credentials.session_token().map(ToOwned::to_owned);
            let credentials = Credentials::made_of(&key, &secret, session, credentials.expiry());
            let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).expect("one");
            if let Ok(token) = Token::mint(&endpoint, "app", &credentials, UNIX_EPOCH) {
                assert!(token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}
