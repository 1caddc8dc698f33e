//! AWS credentials: what the log tells of their sources, and why they cannot be fetched.

use super::{Message, NONE, debug, error, log, text, warning};

/// What the log tells of sources of AWS credentials. `{name}` is the source as SHOW IAM names it.
pub(super) const SOURCES: &[Message] = &[
    log(
        "iam source {name}: credentials loaded from {via} (key ****{tail}, {left})",
        "The first credentials of a source, or the first after fetches that failed: from where, the end of \
         the access key's id, and for how long they are good.",
        NONE,
    ),
    debug(
        "iam source {name}: credentials refreshed (key ****{tail}, {left})",
        "Newer credentials of a source have come in time.",
        NONE,
    ),
    log(
        "iam source {name}: principal {arn}",
        "Whose credentials these are, as STS tells.",
        "Check that it is the principal that you mean.",
    ),
    debug(
        "iam source {name}: principal not known: {error}",
        "STS does not tell whose credentials these are. Nothing depends on it but what SHOW IAM shows.",
        "Let the pooler reach STS, if you want to see it.",
    ),
    warning(
        "iam source {name}: set iam_credential_source={via}, or another source may take its place unnoticed",
        "`iam_credential_source=default` takes the first source that is there; if that fails, another \
         identity may sign.",
        "Set `iam_credential_source` as the line says.",
    ),
    warning(
        "iam source {name}: the session token in the environment will expire and cannot be renewed",
        "`AWS_SESSION_TOKEN` is set: logins will fail when it has expired.",
        "Use a source that can be renewed (`imds`, `container`, `web_identity`, `profile`).",
    ),
    warning(
        "iam source {name}: fetching credentials failed: {error}; the last ones are used {left}",
        "AWS gives no new credentials; logins go on with the last ones for as long as they are good. Told \
         once and then each 10 minutes.",
        "See [why credentials cannot be fetched](#why-credentials-cannot-be-fetched); there is time until \
         they expire.",
    ),
    warning(
        "iam source {name}: no credentials: {error}; {advice}",
        "As below; a panic, which has a line of its own, is why.",
        NONE,
    ),
    error(
        "iam source {name}: no credentials: {error}; {advice}",
        "No login by IAM of this source can be made. Servers that work are kept; clients wait for new \
         ones. Told once and then each 10 minutes.",
        "Do what the line says; see [why credentials cannot be \
         fetched](#why-credentials-cannot-be-fetched).",
    ),
    debug(
        "iam source {name}: fetching credentials failed again: {error}",
        "Each further failure between two lines at the levels above.",
        NONE,
    ),
    error(
        "iam: this machine's clock is {seconds}s {side} AWS's, so that RDS may refuse tokens: synchronise \
         it",
        "The clocks are more than 4 minutes apart: RDS takes a token for 15 minutes from when it was \
         signed, and bears 5.",
        "Synchronise the clock (chrony, systemd-timesyncd).",
    ),
    warning(
        "iam: this machine's clock is {seconds}s {side} AWS's: synchronise it",
        "The clocks are more than 30 seconds apart.",
        "Synchronise the clock before it is more.",
    ),
    log("iam: this machine's clock agrees with AWS's again", "The warning above is over.", NONE),
];

/// In brackets behind the reason stands what is known in detail: AWS's own error code, `HTTP` and a status,
/// or one of these.
pub(super) const DETAILS: &[Message] = &[
    text(
        "{name} is not set",
        "A variable of the environment that the source needs is missing, or is set to switch the source \
         off.",
        "Set it for the service (`Environment=`).",
    ),
    text(
        "{name} is set",
        "`AWS_EC2_METADATA_DISABLED` switches `imds` off.",
        "Remove it, or use another source.",
    ),
    text(
        "a file of the source cannot be read",
        "The token file, or another file that the source names, is not there or not readable.",
        "Check the path, and the rights of the pooler's user.",
    ),
    text(
        "no such profile",
        "`iam_profile` or `AWS_PROFILE` names a profile that no file has.",
        "Check the name and `AWS_CONFIG_FILE`.",
    ),
    text(
        "the profiles' files cannot be read",
        "`AWS_CONFIG_FILE` or `AWS_SHARED_CREDENTIALS_FILE` is no file of profiles.",
        "Correct the file.",
    ),
    text(
        "the profile has no credentials",
        "The profile has neither keys nor a role nor a process.",
        "Correct the profile.",
    ),
    text(
        "aws_access_key_id and aws_secret_access_key go together",
        "The profile has one of them only.",
        "Correct the profile.",
    ),
    text(
        "a role needs either a source_profile or a credential_source",
        "The profile has a `role_arn`, and both or neither of these.",
        "Correct the profile.",
    ),
    text(
        "its source_profile refers back to it",
        "The profiles refer to each other in a circle.",
        "Correct the profiles.",
    ),
    text(
        "its source_profile does not exist",
        "The profile refers to one that no file has.",
        "Correct the profile.",
    ),
    text(
        "no such credential_source",
        "`credential_source` of the profile is none of Environment, Ec2InstanceMetadata, EcsContainer.",
        "Correct the profile.",
    ),
    text("web_identity_token_file is given without role_arn", "The profile lacks `role_arn`.", "Add it."),
    text(
        "mfa_serial is not supported: nobody is there to type a code",
        "The profile wants a one-time code.",
        "Use a role without MFA for the pooler.",
    ),
    text(
        "interactive login (login_session) is not supported",
        "The profile was made by `aws login`, which needs a browser.",
        "Use a source that renews itself.",
    ),
    text(
        "the profile has no credential_process",
        "`iam_credential_source=process`, and the profile has none.",
        "Correct the profile, or the source.",
    ),
    text(
        "the credential_process cannot be started",
        "There is no shell, or no process may be started.",
        "Check the limits of the service.",
    ),
    text(
        "the credential_process {how}",
        "The program has failed: ended with a status, or by a signal.",
        "Run it by hand as the pooler's user.",
    ),
    text("has ended with {code}", "How: its exit status.", "Run it by hand as the pooler's user."),
    text(
        "was ended by a signal",
        "How: somebody has killed it, or it crashed.",
        "Run it by hand as the pooler's user.",
    ),
    text(
        "the credential_process did not end in time and was killed",
        "The program did not end in time, and was killed.",
        "Run it by hand; it must end by itself.",
    ),
    text("the credential_process printed too much", "It prints more than credentials.", "Run it by hand."),
    text(
        "the output of the credential_process cannot be read",
        "Its output has broken off.",
        "Run it by hand.",
    ),
    text(
        "the credential_process printed no credentials",
        "Its output is no JSON with AccessKeyId and SecretAccessKey.",
        "Run it by hand.",
    ),
    text(
        "the credential_process printed another Version than 1",
        "Its output says another `Version`.",
        "Correct the program.",
    ),
    text(
        "the credential_process printed an Expiration that is not a time",
        "`Expiration` is no time of ISO 8601.",
        "Correct the program.",
    ),
    text(
        "the file {setting} {why}",
        "`AWS_CA_BUNDLE`, or `jwks_ca_file` of an issuer, names a file that cannot be read, is no regular \
         file, or is too long.",
        "Correct the variable.",
    ),
    text("no TLS can be set up with {setting}", "The TLS library refuses the file.", "Correct the file."),
    text(
        "HTTPS_PROXY is not the address of a proxy",
        "`HTTPS_PROXY` cannot be read as an address.",
        "Correct it: `http://HOST:PORT`.",
    ),
    text(
        "no such sso-session",
        "The profile names an `sso-session` that the file does not have.",
        "Run `aws configure sso`.",
    ),
    text(
        "the profile and its sso-session name two portals",
        "`sso_start_url` or `sso_region` stands in both, and differs.",
        "Remove it from the profile.",
    ),
    text(
        "{key} is not given",
        "A key of IAM Identity Center is missing in the profile.",
        "Run `aws configure sso`.",
    ),
    text("sso_region is not a region", "`sso_region` is wrong.", "Correct the profile."),
    text("sso_account_id is not a number of 12 digits", "`sso_account_id` is wrong.", "Correct the profile."),
    text("sso_role_name is not the name of a role", "`sso_role_name` is wrong.", "Correct the profile."),
    text(
        "HOME is not set: the cached token is not found",
        "The token of IAM Identity Center lies below `$HOME/.aws/sso/cache`.",
        "Set `HOME` for the service.",
    ),
    text(
        "no token of IAM Identity Center is cached: run aws sso login",
        "Nobody has logged in as the pooler's user.",
        "Run `aws sso login` as that user, with the same `HOME`.",
    ),
    text(
        "the cached token of IAM Identity Center has expired: run aws sso login",
        "The login of IAM Identity Center has ended.",
        "Run `aws sso login` again; for services use a source that renews itself.",
    ),
    text(
        "the portal refuses the cached token: run aws sso login",
        "The login of IAM Identity Center has ended.",
        "Run `aws sso login` again; for services use a source that renews itself.",
    ),
    text(
        "the portal knows no such account or role",
        "`sso_account_id` or `sso_role_name` is wrong, or not assigned to the user.",
        "Correct the profile, or the assignment.",
    ),
    text(
        "the portal's address or the cached token cannot be sent",
        "The address (`AWS_ENDPOINT_URL_SSO`) or the token holds what HTTP cannot carry.",
        "Correct the variable; run `aws sso login`.",
    ),
    text(
        "the cached token {why}",
        "The file of the cached token cannot be read, is too long or is no regular file.",
        "Check its rights.",
    ),
    text("the cached file holds no token", "The file of the cached token is none.", "Run `aws sso login`."),
    text(
        "the expiresAt of the cached token is not a time",
        "The file of the cached token is none.",
        "Run `aws sso login`.",
    ),
    text(
        "sts_regional_endpoints is neither regional nor legacy",
        "`AWS_STS_REGIONAL_ENDPOINTS` or the profile is wrong.",
        "Correct it.",
    ),
    text("{name} is not a region", "`AWS_REGION`, or another variable of a region, is wrong.", "Correct it."),
    text(
        "the web identity {file} ({name}) {why}",
        "The file that `AWS_WEB_IDENTITY_TOKEN_FILE`, or the profile's `web_identity_token_file`, names \
         cannot be read, is no regular file, or is too long for a token.",
        "On EKS see that the pod has the service account's token (its annotation \
         `eks.amazonaws.com/role-arn`, the webhook); else correct the name, or the rights of the pooler's \
         user.",
    ),
    text(
        "access key id contains invalid characters",
        "The source has given something that is no access key.",
        "Look at the variable, file or program it comes from.",
    ),
    text(
        "secret access key contains invalid characters",
        "The source has given something that is no secret key: a space or the end of a line came with it.",
        "Look at the variable, file or program it comes from.",
    ),
    text(
        "session token contains invalid characters, or is too long to sign with",
        "The source has given something that is no session token, or one with more than can be signed.",
        "Look at the variable, file or program it comes from.",
    ),
    text(
        "the AWS library has panicked",
        "A fault of a library; the next fetch comes at its time.",
        "Report it, with the ERROR lines before it.",
    ),
    text(
        "its certificate was refused: the issuer is not trusted; AWS_CA_BUNDLE must name a file that has it",
        "A proxy or gateway shows a certificate of its own in place of AWS's.",
        "Set `AWS_CA_BUNDLE` to the authority of that proxy.",
    ),
    text(
        "AWS_ENDPOINT_URL is not the address of a service",
        "It, or `AWS_ENDPOINT_URL_SECRETS_MANAGER`, is not made of `http://` or `https://`, host, port and \
         path.",
        "Correct the variable.",
    ),
    text("the request cannot be sent", "The address of the service makes no request.", "Correct it."),
    text("it is too long", "An answer of AWS has more bytes than a secret can have.", NONE),
    text(
        "its certificate was refused: it has expired",
        "The certificate of AWS, or of a proxy in between, has expired; or this machine's clock is wrong.",
        "Check the clock first.",
    ),
    text(
        "its certificate was refused: it is not valid yet",
        "The certificate of AWS, or of a proxy in between, has expired; or this machine's clock is wrong.",
        "Check the clock first.",
    ),
    text(
        "its certificate was refused: it is for another host",
        "What answers there is not AWS.",
        "Check DNS, `HTTPS_PROXY` and `AWS_ENDPOINT_URL`.",
    ),
    text(
        "its certificate was refused",
        "The certificate has another fault.",
        "Look at it (`openssl s_client`).",
    ),
    text(
        "no TLS could be agreed on",
        "What answers there speaks no TLS 1.2 or 1.3.",
        "Check `HTTPS_PROXY` and `AWS_ENDPOINT_URL`.",
    ),
];
