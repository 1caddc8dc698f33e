//! What must hold for any bytes as an auth_file: no panic, and every secret's text form
//! reads back as the same text.

use pgweir::auth::{Secret, UserList};

/// Reads `data` as the file.
pub fn run(data: &[u8]) {
    let (list, error) = UserList::parse(data);
    if let Some(error) = error {
        assert!(error.line >= 1);
    }
    for user in list.users() {
        let secret = list.secret(user).expect("is listed");
        let text = secret.to_text();
        let again = Secret::parse(text.expose());
        assert_eq!(again.to_text().expose(), text.expose());
    }
    assert_eq!(list.users().count(), list.count());
}
