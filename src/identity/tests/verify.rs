//! Tokens that are accepted, and those that are not.

use super::mint::*;
use crate::identity::{Algorithm, issuer_of, verify};

#[test]
fn a_token_of_each_algorithm_is_accepted() {
    for algorithm in Algorithm::ALL {
        let mint = Mint::of(algorithm);
        let token = mint.token(&claims());
        let accepted = verify(&token, &rules(), &mint.keys, NOW_S).unwrap();
        assert_eq!(accepted.principal(&rules()).unwrap(), "alice");
        assert_eq!(accepted.expires_at_epoch_s, NOW_S + 600);
        assert_eq!(issuer_of(&token).unwrap(), ISSUER);
    }
}
