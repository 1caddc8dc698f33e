//! What each of the services of AWS answers, as its behaviour says.

use super::{Behaviour, IMDS_TOKEN, Made, ROLE, Request, Response, SECRET_MARK, text};
use std::collections::HashMap;
use std::fmt::Write as _;

pub(super) fn imds(request: &Request, behaviour: &Behaviour, made: &Made) -> Response {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    if request.path == "/latest/api/token" {
        let header = "x-aws-ec2-metadata-token-ttl-seconds";
        let Some(ttl) = request.headers.get(header).filter(|_| request.method == "PUT") else {
            return text(400, "");
        };
        return Response { status: 200, headers: format!("{header}: {ttl}\r\n"), body: IMDS_TOKEN.into() };
    }
    if request.headers.get("x-aws-ec2-metadata-token").map(String::as_str) != Some(IMDS_TOKEN) {
        return text(401, "version 1 is off");
    }
    match request.path.strip_prefix(ROLES) {
        _ if !behaviour.role => text(404, ""),
        Some("") => text(200, &*behaviour.names),
        Some(ROLE) => text(200, made.json()),
        _ => text(404, ""),
    }
}

pub(super) fn container(request: &Request, behaviour: &Behaviour, made: &Made) -> Response {
    let shown = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
    if shown == behaviour.expects {
        text(200, made.json())
    } else {
        text(401, "{\"code\": \"AccessDenied\", \"message\": \"who are you\"}")
    }
}

/// Takes the bearer token that it expects.
pub(super) fn sso(request: &Request, behaviour: &Behaviour, made: &Made) -> Response {
    let shown = request.headers.get("x-amz-sso_bearer_token").map(String::as_str).unwrap_or_default();
    if shown != behaviour.expects || request.method != "GET" {
        let headers = "x-amzn-errortype: UnauthorizedException:http://internal\r\n".to_owned();
        return Response {
            status: 401,
            headers,
            body: "{\"message\": \"Session token not found or invalid\"}".into(),
        };
    }
    let Made { key, secret, session, expires_at } = made;
    let ms = expires_at.as_millisecond();
    text(
        200,
        format!(
            "{{\"roleCredentials\": {{\"accessKeyId\": \"{key}\", \"expiration\": {ms}, \
             \"secretAccessKey\": \"{secret}\", \"sessionToken\": \"{session}\"}}}}"
        ),
    )
}

pub(super) fn sts(
    request: &Request,
    parameters: &HashMap<String, String>,
    behaviour: &Behaviour,
    made: &Made,
) -> Response {
    let of = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let is_scoped =
        |text: &str| behaviour.region.is_empty() || text.contains(&format!("/{}/sts/", behaviour.region));
    let is_signed = request
        .headers
        .get("authorization")
        .is_some_and(|text| text.contains("Credential=A") && is_scoped(text));
    let assumed = || {
        let (Made { key, secret, session, .. }, expires_at) = (made, made.expiration());
        let (role, name) = (of("RoleArn").rsplit('/').next().unwrap_or_default(), of("RoleSessionName"));
        format!(
            "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{session}</SessionToken><Expiration>{expires_at}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>AROA:{name}</AssumedRoleId>\
             <Arn>arn:aws:sts::123456789012:assumed-role/{role}/{name}</Arn></AssumedRoleUser>"
        )
    };
    let (action, result) = match of("Action") {
        "AssumeRole" if is_signed && of("ExternalId") == behaviour.expects => ("AssumeRole", assumed()),
        "AssumeRoleWithWebIdentity" if of("WebIdentityToken") == behaviour.expects => {
            ("AssumeRoleWithWebIdentity", assumed())
        }
        "GetCallerIdentity" if is_signed => (
            "GetCallerIdentity",
            "<Arn>arn:aws:sts::123456789012:assumed-role/the-role/me</Arn><UserId>AROA:me</UserId>\
             <Account>123456789012</Account>"
                .to_owned(),
        ),
        _ => return text(403, sts_error("AccessDenied")),
    };
    let space = "https://sts.amazonaws.com/doc/2011-06-15/";
    text(
        200,
        format!(
            "<{action}Response xmlns=\"{space}\"><{action}Result>{result}</{action}Result>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

pub(super) fn sts_error(code: &str) -> String {
    let message = if code == "AccessDenied" {
        "User: arn:aws:sts::123456789012:assumed-role/the-role/me is not authorized to perform: \
         sts:AssumeRole"
            .to_owned()
    } else {
        format!("what was sent: {SECRET_MARK}")
    };
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}

/// The parameters of a form.
pub(super) fn form(body: &str) -> HashMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect()
}

pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut hex = String::new();
                let _ = rest
                    .next()
                    .zip(rest.next())
                    .map(|(a, b)| write!(hex, "{}{}", char::from(a), char::from(b)));
                u8::from_str_radix(&hex, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
