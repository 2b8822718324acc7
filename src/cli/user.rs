//! Who sits at this terminal, for the list of operators' actions.
//!
//! Owns where the name comes from. It is shown beside the token's name and decides nothing.

/// The longest name that is sent.
const CHARS_MAX: usize = 100;

/// `TIDEGATE_USER`, else the name of the system's user.
pub(crate) fn name() -> String {
    let given = std::env::var("TIDEGATE_USER").ok();
    let given = given.filter(|name| !name.trim().is_empty());
    let name = given.unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        account(&accounts, uid).unwrap_or_else(|| format!("uid {uid}"))
    });
    name.trim().chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect()
}

/// The name of an account, by lines as in `/etc/passwd`.
fn account(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nodd\n";
        assert_eq!(account(accounts, 1000).as_deref(), Some("ann"));
        assert_eq!(account(accounts, 7), None);
        assert!(!name().is_empty());
    }
}
