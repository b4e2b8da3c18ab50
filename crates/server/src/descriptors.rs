//! How many file descriptors this process may have. Each client takes one, so a gateway wants all that it can get.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard limit. Nothing here minds descriptors with large numbers: there is no `select`.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(
            from = shown(current),
            to = shown(maximum),
            "raised the limit of open files"
        ),
        Err(error) => {
            tracing::warn!(limit = shown(current), %error, "cannot raise the limit of open files")
        }
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}
