//! Where to look for credentials, the project and the metadata server
//! ([application default credentials](https://cloud.google.com/docs/authentication/application-default-credentials)).

use std::path::{Path, PathBuf};

use pipeline::Context;
use pipeline::config::{MAX_FILE_BYTES, read_file};

/// The host name of the metadata server on every Google Cloud machine.
const METADATA_SERVER: &str = "metadata.google.internal";

/// Where to look for credentials and the project.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialSources {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) env_file: Option<PathBuf>,
    /// The file that `gcloud auth application-default login` writes.
    pub(crate) well_known_file: Option<PathBuf>,
    /// `GCE_METADATA_HOST`.
    pub(crate) metadata_host: Option<String>,
    /// The file with the product name that the firmware gives this machine.
    pub(crate) product_name_file: PathBuf,
    /// `GOOGLE_CLOUD_PROJECT`, or the project named in the credentials file.
    pub(crate) project: Option<String>,
    /// `GOOGLE_CLOUD_QUOTA_PROJECT`.
    pub(crate) quota_project: Option<String>,
}

impl CredentialSources {
    /// The sources that the environment variables name.
    pub(crate) fn from_environment(product_name_file: PathBuf) -> CredentialSources {
        let path = |name| {
            std::env::var_os(name)
                .filter(|it| !it.is_empty())
                .map(PathBuf::from)
        };
        let text = |name| std::env::var(name).ok().filter(|it| !it.is_empty());
        let mut sources = CredentialSources {
            env_file: path("GOOGLE_APPLICATION_CREDENTIALS"),
            well_known_file: path("HOME")
                .map(|home| home.join(".config/gcloud/application_default_credentials.json")),
            metadata_host: text("GCE_METADATA_HOST"),
            product_name_file,
            project: text("GOOGLE_CLOUD_PROJECT"),
            quota_project: text("GOOGLE_CLOUD_QUOTA_PROJECT"),
        };
        if sources.project.is_none() {
            sources.project = sources.credentials_file().and_then(project_in_file);
        }
        sources
    }

    /// The path of this machine's product name.
    pub(crate) fn product_name_file(context: &Context) -> PathBuf {
        context.host_path(Path::new("/sys/class/dmi/id/product_name"))
    }

    /// The credentials file, if there is one.
    pub(crate) fn credentials_file(&self) -> Option<&Path> {
        let well_known_file = self.well_known_file.as_deref().filter(|path| path.exists());
        self.env_file.as_deref().or(well_known_file)
    }

    /// The metadata server's address: as the environment names it, else its usual name on a Google Cloud machine.
    pub(crate) fn metadata_server(&self) -> Option<String> {
        let is_googles = || {
            let name = read_file(&self.product_name_file, MAX_FILE_BYTES).unwrap_or_default();
            name.trim_ascii().starts_with(b"Google")
        };
        let configured = self.metadata_host.clone();
        configured.or_else(|| is_googles().then(|| METADATA_SERVER.to_owned()))
    }

    /// Each source, and why it has no credentials.
    pub(crate) fn describe(&self) -> String {
        let env_file = match &self.env_file {
            Some(path) => format!("GOOGLE_APPLICATION_CREDENTIALS names {}", path.display()),
            None => "GOOGLE_APPLICATION_CREDENTIALS is not set".into(),
        };
        let well_known_file = match &self.well_known_file {
            Some(path) => format!("{} is not there", path.display()),
            None => "there is no home directory with gcloud's file".into(),
        };
        let product = self.product_name_file.display();
        format!(
            "{env_file}; {well_known_file}; there is no metadata server, since {product} does not name Google and GCE_METADATA_HOST is not set"
        )
    }
}

/// What a credentials file says, if it can be read. Why it cannot google-cloud-auth says.
pub(crate) fn read_credentials(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&read_file(path, MAX_FILE_BYTES).ok()?).ok()
}

/// The project named in a credentials file.
fn project_in_file(path: &Path) -> Option<String> {
    let file = read_credentials(path)?;
    let text = |key: &str| file.get(key)?.as_str().map(str::to_owned);
    text("project_id").or_else(|| text("quota_project_id"))
}
