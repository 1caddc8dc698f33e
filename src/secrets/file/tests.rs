//! Files and directories as they are mounted, replaced and broken.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgweir-secret-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn secret(path: &Path) -> Arc<SecretFile> {
    Arc::new(SecretFile::new(path.to_str().unwrap(), Purpose::Servers))
}

async fn read_at(path: &Path) -> Result<(Option<String>, String), String> {
    let found = secret(path).fetch(Stage::Current).await.map_err(|error| error.to_string())?;
    let content = found.expect("there is a current one").content;
    let login = content.login().expect("a login");
    Ok((login.user.as_deref().map(str::to_owned), login.secret.to_text().expose().to_owned()))
}

#[tokio::test]
async fn a_file_or_a_directory_of_parts_is_read() {
    let directory = Directory::new("shapes");
    let json = directory.write("json", r#"{"username":"app","password":"pw","host":"elsewhere"}"#);
    assert_eq!(read_at(&json).await, Ok((Some("app".into()), "pw".into())));
    let line = directory.write("line", "pw\n");
    assert_eq!(read_at(&line).await, Ok((None, "pw".into())));
    directory.write("parts/password", "pw");
    assert_eq!(read_at(&directory.0.join("parts")).await, Ok((None, "pw".into())));
    directory.write("parts/username", "app\n");
    assert_eq!(read_at(&directory.0.join("parts")).await, Ok((Some("app".into()), "pw".into())));
    assert!(secret(&json).fetch(Stage::Pending).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_there_or_no_secret_is_said() {
    let directory = Directory::new("missing");
    let missing = read_at(&directory.0.join("none")).await.unwrap_err();
    assert_eq!(missing, "there is no such secret");
    let empty = read_at(&directory.0).await.unwrap_err();
    assert_eq!(empty, "there is no such secret (the directory has no file password)");
    let half = directory.write("half", r#"{"username":"app","passw"#);
    assert_eq!(
        read_at(&half).await.unwrap_err(),
        "it says nothing that can be used (it is not one whole JSON object)"
    );
    let long = directory.write("long", &"x".repeat(limits::KEPT_SECRET_BYTES_MAX + 1));
    assert_eq!(
        read_at(&long).await.unwrap_err(),
        "it says nothing that can be used (it has more bytes than a secret may have)"
    );
    let list = directory.write("list", &"\"app\" \"pencil\"\n".repeat(10_000));
    let users = Arc::new(SecretFile::new(list.to_str().unwrap(), Purpose::Clients));
    let found = users.fetch(Stage::Current).await.unwrap().unwrap();
    assert_eq!(found.content.users().unwrap().count(), 1, "a list may be longer than a secret of AWS");
    assert_eq!(
        read_at(Path::new("/dev/zero")).await.unwrap_err(),
        "it cannot be read (it is no regular file)"
    );
}

#[tokio::test]
async fn each_way_to_change_it_is_seen() {
    let directory = Directory::new("changes");
    let file = directory.write("file", "one");
    let looks = |path: &Path| secret(path).fingerprint();
    let before = looks(&file).await;
    assert_eq!(looks(&file).await, before, "nothing has changed");
    std::fs::rename(directory.write("new", "two"), &file).unwrap();
    assert_ne!(looks(&file).await, before, "by a rename, of the same length");
    let before = looks(&file).await;
    std::fs::remove_file(&file).unwrap();
    assert_ne!(looks(&file).await, before);

    // As the kubelet does it: `password` leads to `..data/password`, `..data` to a directory by its time.
    for (at, password) in [("..one", "first"), ("..two", "other")] {
        directory.write(&format!("mount/{at}/username"), "app");
        directory.write(&format!("mount/{at}/password"), password);
    }
    let mount = directory.0.join("mount");
    for part in PARTS {
        symlink(format!("..data/{part}"), mount.join(part)).unwrap();
    }
    symlink("..one", mount.join("..data")).unwrap();
    assert_eq!(read_at(&mount).await, Ok((Some("app".into()), "first".into())));
    let (before, of_part) = (looks(&mount).await, looks(&mount.join("password")).await);
    symlink("..two", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    assert_ne!(looks(&mount).await, before);
    assert_ne!(looks(&mount.join("password")).await, of_part, "one part alone may be named, too");
    assert_eq!(read_at(&mount).await, Ok((Some("app".into()), "other".into())));
}

#[tokio::test]
async fn a_file_that_everybody_may_read_is_doubted() {
    let directory = Directory::new("mode");
    let file = directory.write("file", "pw");
    let doubt = async || secret(&file).fetch(Stage::Current).await.unwrap().unwrap().doubt;
    assert_eq!(doubt().await, None);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(doubt().await.as_deref(), Some("mode 0644"));
}
