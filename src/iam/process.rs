//! Credentials that a program prints (`credential_process` of a profile).
//!
//! The program runs in a process group of its own, which is ended with all that it has started when it takes
//! too long, prints too much, or is not wanted any more. What it says on its standard error is not read: it
//! may hold secrets. Never shows the command, nor what was printed. Source: AWS SDKs and Tools Reference
//! Guide, "Process credential provider".

use super::credentials::checked;
use super::failure::{FetchError, Reason};
use crate::base::limits;
use aws_credential_types::Credentials as AwsCredentials;
use aws_smithy_json::deserialize::{Token, json_token_iter};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// Runs `command` by the shell, and reads what it prints.
///
/// # Errors
/// It cannot be started, fails, prints too much or no credentials, or is not done in time.
/// # Cancel safety
/// The program is ended.
pub(super) async fn run(command: &str) -> Result<AwsCredentials, FetchError> {
    run_within(command, Duration::from_millis(limits::CREDENTIAL_PROCESS_MS)).await
}

async fn run_within(command: &str, limit: Duration) -> Result<AwsCredentials, FetchError> {
    let mut program = Program::start(command)?;
    match tokio::time::timeout(limit, program.output()).await {
        Ok(output) => read(&output?),
        Err(_) => Err(FetchError::with(
            Reason::Timeout,
            "the credential_process did not end in time and was killed",
        )),
    }
}

/// A program that runs, with all that it starts.
struct Program {
    child: Child,
    /// Its process group, as long as nobody else can have that number.
    group: Option<Pid>,
}

impl Program {
    fn start(command: &str) -> Result<Self, FetchError> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).process_group(0);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = shell.spawn().map_err(|_| wrong("the credential_process cannot be started"))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// All that it prints, once it has ended well.
    async fn output(&mut self) -> Result<Zeroizing<Vec<u8>>, FetchError> {
        let unread = || wrong("the output of the credential_process cannot be read");
        let output = read_bounded(self.child.stdout.take().ok_or_else(unread)?).await?;
        let status = self.child.wait().await.map_err(|_| unread())?;
        self.group = None; // waited for: the number may be another's now
        match status.success() {
            true => Ok(output),
            false => Err(failed(status)),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // An error: nobody is left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn read_bounded(stdout: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, FetchError> {
    let bytes_max = limits::CREDENTIAL_PROCESS_BYTES_MAX;
    // With all its room from the start: one that grows leaves what it held behind in freed memory.
    let mut output = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    let read = stdout.take(bytes_max as u64 + 1).read_to_end(&mut output).await;
    match read {
        Ok(bytes) if bytes <= bytes_max => Ok(output),
        Ok(_) => Err(wrong("the credential_process printed too much")),
        Err(_) => Err(wrong("the output of the credential_process cannot be read")),
    }
}

fn failed(status: ExitStatus) -> FetchError {
    let how =
        status.code().map_or("was ended by a signal".to_owned(), |code| format!("has ended with {code}"));
    FetchError::with(Reason::Misconfigured, format!("the credential_process {how}"))
}

/// What the program printed, by the names that it goes under.
#[derive(Default)]
struct Printed {
    version: Option<f64>,
    key_id: Option<String>,
    secret_key: Option<Zeroizing<String>>,
    session: Option<String>,
    expiration: Option<String>,
}

impl Printed {
    fn take(&mut self, name: &str, value: String) {
        match name.to_ascii_lowercase().as_str() {
            "accesskeyid" => self.key_id = Some(value),
            "secretaccesskey" => self.secret_key = Some(Zeroizing::new(value)),
            "sessiontoken" => self.session = Some(value),
            "expiration" => self.expiration = Some(value),
            _ => {}
        }
    }
}

fn read(output: &[u8]) -> Result<AwsCredentials, FetchError> {
    const WHAT: &str = "the credential_process printed no credentials";
    let printed = printed(output).ok_or_else(|| wrong(WHAT))?;
    let (Some(id), Some(secret)) = (printed.key_id, printed.secret_key) else { return Err(wrong(WHAT)) };
    if printed.version != Some(1.0) {
        return Err(wrong("the credential_process printed another Version than 1"));
    }
    let expiry = match printed.expiration {
        Some(text) => Some(
            time(&text)
                .ok_or_else(|| wrong("the credential_process printed an Expiration that is not a time"))?,
        ),
        None => None,
    };
    checked(AwsCredentials::new(id, secret.as_str(), printed.session, expiry, "process"))
}

/// The last day of year 9999, which means "never", ends after the last instant that jiff has.
fn time(text: &str) -> Option<SystemTime> {
    let never = || {
        let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
        (pieces.to_numeric_offset().is_some() && pieces.date().year() == 9999).then_some(jiff::Timestamp::MAX)
    };
    text.parse::<jiff::Timestamp>().ok().or_else(never).map(SystemTime::from)
}

/// The texts and numbers of the outermost object; `None`: there is none.
fn printed(output: &[u8]) -> Option<Printed> {
    let (mut printed, mut name, mut depth) = (Printed::default(), String::new(), 0_usize);
    let mut is_object = false;
    for token in json_token_iter(output) {
        match token.ok()? {
            Token::StartObject { .. } => {
                is_object |= depth == 0;
                depth += 1;
            }
            Token::StartArray { .. } => depth += 1,
            Token::EndObject { .. } | Token::EndArray { .. } => depth = depth.checked_sub(1)?,
            Token::ObjectKey { key, .. } if depth == 1 => name = key.to_unescaped().ok()?.into_owned(),
            Token::ValueString { value, .. } if depth == 1 => {
                printed.take(&name, value.to_unescaped().ok()?.into_owned());
            }
            Token::ValueNumber { value, .. } if depth == 1 && name.eq_ignore_ascii_case("version") => {
                printed.version = Some(value.to_f64_lossy());
            }
            _ => {}
        }
    }
    (is_object && depth == 0).then_some(printed)
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    #[test]
    fn what_it_prints_is_read() {
        let read = |text: &str| read(text.as_bytes()).map_err(|error| error.reason);
        let credentials = read(
            r#"{"Version": 1, "accessKeyId": "A", "SecretAccessKey": "s\u002f", "SessionToken": "t",
                "Expiration": "2024-01-02T03:04:05+01:00", "More": {"AccessKeyId": "B"}, "Some": ["x"]}"#,
        )
        .unwrap();
        assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("A", "s/"));
        assert_eq!(credentials.session_token(), Some("t"));
        let expiry = credentials.expiry().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(expiry.as_secs(), 1_704_161_045);
        let never = r#"{"Version":1, "AccessKeyId":"A", "SecretAccessKey":"s",
            "Expiration":"9999-12-31T23:59:59Z"}"#;
        let expiry = read(never).unwrap().expiry().unwrap();
        assert!(expiry > SystemTime::now() + Duration::from_secs(7_000 * 366 * 86_400), "{expiry:?}");
        let credentials = read(r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}"#).unwrap();
        assert_eq!((credentials.session_token(), credentials.expiry()), (None, None));
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "AKIA",
            r#"{"Version":1,"AccessKeyId":"A"}"#,
            r#"{"Version":1,"AccessKeyId":null,"SecretAccessKey":"s"}"#,
            r#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"s"}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":"s"}"#,
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}"#,
            r#"[{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}]"#,
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s""#,
        ] {
            assert_eq!(read(text).err(), Some(Reason::Misconfigured), "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_that_it_prints_is_read_or_refused(output in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&output);
        }
    }

    /// A directory of a test's own, as a shell writes it.
    fn directory(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("pgweir-process-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path.display().to_string()
    }

    fn is_gone(pid: &str) -> bool {
        // A zombie has ended, too.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        status.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let at = directory("long");
        let command = format!("sleep 600 & echo $! > {at}/child; echo $$ > {at}/shell; wait");
        let begun = Instant::now();
        let error = run_within(&command, Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(error.reason, Reason::Timeout);
        assert!(begun.elapsed() < Duration::from_secs(20));
        for who in ["child", "shell"] {
            let pid = std::fs::read_to_string(format!("{at}/{who}")).unwrap();
            while !is_gone(&pid) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{who}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let _ = std::fs::remove_dir_all(at);
    }

    #[tokio::test]
    async fn what_prints_without_end_is_ended() {
        for command in ["yes", "head -c 200000 /dev/zero", "yes >&2 & exec yes"] {
            let error = run_within(command, Duration::from_secs(60)).await.unwrap_err();
            assert!(error.to_string().contains("printed too much"), "{command}: {error}");
        }
        let loud = "head -c 1000000 /dev/zero >&2; echo \
            '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}'";
        assert!(run_within(loud, Duration::from_secs(60)).await.is_ok(), "its errors do not count");
    }

    #[tokio::test]
    async fn one_that_fails_is_told_by_its_status_alone() {
        let error =
            run_within("echo hush; echo hush >&2; exit 7", Duration::from_secs(60)).await.unwrap_err();
        assert!(error.to_string().ends_with("(the credential_process has ended with 7)"), "{error}");
        let error = run_within("kill -9 $$", Duration::from_secs(60)).await.unwrap_err();
        assert!(error.to_string().contains("was ended by a signal"), "{error}");
    }
}
