//! Credentials that are renewed ahead of their end, and kept while whoever gives them does not answer.
//!
//! ```text
//! fetched ─────────── renewed beside requests ──────────── end
//!    │  used at once     │  used still; a failure changes      │  a request waits for new ones, and is
//!    │                   │  nothing, it is tried again          │  unavailable if there are none
//! ```
//!
//! A store that says that the keys are expired or unknown ends them early: the next request waits for others. One fetch
//! runs at a time, and one that failed is not repeated for a second, so that a broken service is not flooded.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use kafscale_runtime::{BoxFuture, Handle, Instant, timeout};
use object_store::{CredentialProvider, StaticCredentialProvider};
use parking_lot::Mutex;

use super::attempt::Attempt;

/// Between attempts to renew what is still valid.
const RENEW_AGAIN: Duration = Duration::from_secs(15);

/// Between attempts to get what is needed now.
const FETCH_AGAIN: Duration = Duration::from_secs(1);

/// Between renewals that a refusal of the store asked for. One that refuses everything must not cost a fetch each time.
const FORCE_AGAIN: Duration = Duration::from_secs(10);

/// One fetch may take so long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Where credentials come from.
pub(crate) trait Source<C>: Send + Sync + 'static {
    /// What is read or asked, for messages.
    fn name(&self) -> &str;

    /// Gets them; `anew`, if the store has refused those of the last time. The error must not hold a secret.
    fn fetch(&self, anew: bool) -> BoxFuture<'_, Result<Lease<C>, String>>;
}

/// Credentials and how long they are good for.
pub(crate) struct Lease<C> {
    pub credential: Arc<C>,
    /// When to look for others.
    pub renew_after: Duration,
    /// When they end; never, if absent.
    pub valid_for: Option<Duration>,
}

impl<C> Lease<C> {
    /// Of a credential that ends in so long: renewed when three quarters of that have passed.
    pub(crate) fn ending_in(credential: C, valid_for: Duration) -> Self {
        Self { credential: Arc::new(credential), renew_after: valid_for / 4 * 3, valid_for: Some(valid_for) }
    }
}

/// Has the credentials of one store.
pub(crate) struct Keeper<C>(Arc<Inner<C>>);

struct Inner<C> {
    source: Box<dyn Source<C>>,
    runtime: Handle,
    state: Mutex<State<C>>,
    /// Held by whoever fetches.
    turn: tokio::sync::Mutex<()>,
}

struct State<C> {
    held: Option<Held<C>>,
    /// Goes up with each credential that differs from the one before.
    generation: u64,
    renewing: bool,
    failed: Option<(Instant, String)>,
    forced_at: Option<Instant>,
}

struct Held<C> {
    credential: Arc<C>,
    renew_at: Instant,
    valid_until: Option<Instant>,
    refused: bool,
}

/// What the requests to one store are signed with.
pub(crate) struct Keys<C> {
    pub credentials: Arc<dyn CredentialProvider<Credential = C>>,
    /// Who renews them; nobody, if they are fixed.
    pub renewal: Option<Arc<dyn Renewal>>,
    /// Whose they are, for people. Never a secret.
    pub whose: String,
}

impl<C: PartialEq + fmt::Debug + Send + Sync + 'static> Keys<C> {
    pub(crate) fn fixed(credential: C, whose: impl Into<String>) -> Self {
        let credentials = Arc::new(StaticCredentialProvider::new(credential));
        Self { credentials, renewal: None, whose: whose.into() }
    }

    pub(crate) fn kept(source: impl Source<C>, whose: impl Into<String>, runtime: &Handle) -> Self {
        let keeper = Keeper::new(source, runtime.clone());
        Self { credentials: Arc::new(keeper.clone()), renewal: Some(Arc::new(keeper)), whose: whose.into() }
    }
}

/// What a store that refused the keys can ask of them.
pub(crate) trait Renewal: Send + Sync + 'static {
    /// Which credentials are in use; to be taken before a request.
    fn generation(&self) -> u64;

    /// The store refused the credentials of this generation: are there others now?
    fn refused(&self, generation: u64) -> BoxFuture<'_, bool>;
}

impl<C: PartialEq + Send + Sync + 'static> Keeper<C> {
    pub(crate) fn new(source: impl Source<C>, runtime: Handle) -> Self {
        let state = State { held: None, generation: 0, renewing: false, failed: None, forced_at: None };
        let source = Box::new(source);
        Self(Arc::new(Inner { source, runtime, state: Mutex::new(state), turn: tokio::sync::Mutex::default() }))
    }

    /// Credentials to use now.
    pub(crate) async fn get(&self) -> Result<Arc<C>, String> {
        if let Some(credential) = self.usable() {
            return Ok(credential);
        }
        let _turn = self.0.turn.lock().await;
        // Another may have fetched while this one waited.
        match self.usable() {
            Some(credential) => Ok(credential),
            None => self.0.fetch().await,
        }
    }

    /// What is held and good; renews it beside the caller when it is time to.
    fn usable(&self) -> Option<Arc<C>> {
        let mut state = self.0.state.lock();
        let now = self.0.runtime.now();
        let held = state.held.as_ref().filter(|held| held.is_good(now))?;
        let (credential, due) = (held.credential.clone(), now >= held.renew_at);
        if due && !std::mem::replace(&mut state.renewing, true) {
            drop(state);
            let inner = self.0.clone();
            self.0.runtime.spawn("store credentials", Box::pin(async move { inner.renew().await }));
        }
        Some(credential)
    }
}

impl<C> Held<C> {
    fn is_good(&self, now: Instant) -> bool {
        !self.refused && self.valid_until.is_none_or(|until| now < until)
    }
}

impl<C: PartialEq + Send + Sync + 'static> Inner<C> {
    async fn renew(&self) {
        let _turn = self.turn.lock().await;
        let result = self.fetch().await;
        let mut state = self.state.lock();
        state.renewing = false;
        if let Err(error) = result
            && let Some(held) = &mut state.held
        {
            held.renew_at = self.runtime.now() + RENEW_AGAIN;
            let source = self.source.name();
            tracing::warn!(source, %error, "the store's credentials could not be renewed; the old ones are used while they last");
        }
    }

    /// To be called by the holder of the turn alone.
    async fn fetch(&self) -> Result<Arc<C>, String> {
        if let Some((at, error)) = &self.state.lock().failed
            && self.runtime.now().saturating_sub(*at) < FETCH_AGAIN
        {
            return Err(error.clone());
        }
        let anew = self.state.lock().held.as_ref().is_some_and(|held| held.refused);
        let fetched = match timeout(&*self.runtime, FETCH_TIMEOUT, self.source.fetch(anew)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("no answer within {FETCH_TIMEOUT:?}")),
        };
        let mut state = self.state.lock();
        let now = self.runtime.now();
        match fetched {
            Ok(lease) => {
                let same = state.held.as_ref().filter(|held| held.credential == lease.credential);
                let credential = match same {
                    Some(held) => held.credential.clone(),
                    None => {
                        state.generation += 1;
                        lease.credential
                    }
                };
                state.failed = None;
                state.held = Some(Held {
                    credential: credential.clone(),
                    renew_at: now + lease.renew_after,
                    valid_until: lease.valid_for.map(|valid_for| now + valid_for),
                    refused: false,
                });
                Ok(credential)
            }
            Err(error) => {
                let error = format!("no credentials from {}: {error}", self.source.name());
                state.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }
}

impl<C: PartialEq + Send + Sync + 'static> Renewal for Keeper<C> {
    fn generation(&self) -> u64 {
        self.0.state.lock().generation
    }

    fn refused(&self, generation: u64) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            {
                let mut state = self.0.state.lock();
                let now = self.0.runtime.now();
                // A request that began before there were any was made with the first.
                let generation = generation.max(1);
                let lately = state.forced_at.is_some_and(|at| now.saturating_sub(at) < FORCE_AGAIN);
                if state.generation != generation || lately {
                    return state.generation != generation;
                }
                state.forced_at = Some(now);
                if let Some(held) = &mut state.held {
                    held.refused = true;
                }
            }
            // A failure shows in the next request, which cannot be made without.
            let fetched = self.get().await.is_ok();
            !fetched || self.0.state.lock().generation != generation.max(1)
        })
    }
}

#[async_trait]
impl<C: PartialEq + fmt::Debug + Send + Sync + 'static> CredentialProvider for Keeper<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        self.get().await.map_err(|error| {
            // Whatever was asked to get them, nothing was sent to the store.
            Attempt::NotConnected(error.clone()).note();
            object_store::Error::Generic { store: "credentials", source: error.into() }
        })
    }
}

impl<C> Clone for Keeper<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: 'static> fmt::Debug for Keeper<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keeper({})", self.0.source.name())
    }
}

/// Credentials that `object_store` fetches and holds. It does not say when they end, but looks for others when they have
/// less than [`LEFT`] to live, so that what it gives is good for that long.
pub(crate) struct Provided<C> {
    name: &'static str,
    build: Box<dyn Fn() -> object_store::Result<Provider<C>> + Send + Sync>,
    provider: Mutex<Option<Provider<C>>>,
}

pub(crate) type Provider<C> = Arc<dyn CredentialProvider<Credential = C>>;

/// Less than the five minutes that `object_store` wants a token to live at least.
const LEFT: Duration = Duration::from_secs(240);

/// How often it is asked. While what it holds is good it asks nobody.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl<C> Provided<C> {
    pub(crate) fn new(
        name: &'static str,
        build: impl Fn() -> object_store::Result<Provider<C>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, build: Box::new(build), provider: Mutex::default() }
    }

    fn provider(&self, anew: bool) -> object_store::Result<Provider<C>> {
        let mut held = self.provider.lock();
        if let Some(provider) = &*held
            && !anew
        {
            return Ok(provider.clone());
        }
        Ok(held.insert((self.build)()?).clone())
    }
}

impl<C: fmt::Debug + Send + Sync + 'static> Source<C> for Provided<C> {
    fn name(&self) -> &str {
        self.name
    }

    fn fetch(&self, anew: bool) -> BoxFuture<'_, Result<Lease<C>, String>> {
        Box::pin(async move {
            let provider = self.provider(anew).map_err(|error| error.to_string())?;
            let credential = provider.get_credential().await.map_err(|error| error.to_string())?;
            Ok(Lease { credential, renew_after: LOOK_EVERY, valid_for: Some(LEFT) })
        })
    }
}

#[cfg(test)]
mod tests;
