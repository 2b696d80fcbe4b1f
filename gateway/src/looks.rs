//! Places for looking at recordings elsewhere, before there is a job: bounded, and no tenant can take all of them.

use scriptorium_contracts::tenant::TenantName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Recordings that are looked at at once; one takes half a minute at most.
const PLACES: usize = 64;
/// Of one tenant: an address that never answers holds its place until its time is over.
const OF_A_TENANT: usize = PLACES / 4;

/// The places that are taken, by tenants; without keys there is only one, who may take all.
#[derive(Debug, Default)]
pub struct Looks {
    taken: Mutex<HashMap<Option<TenantName>, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    looks: Arc<Looks>,
    tenant: Option<TenantName>,
}

impl Looks {
    /// `None`: there is no place, or the tenant has as many as one may have.
    pub fn enter(self: &Arc<Self>, tenant: Option<&TenantName>) -> Option<Place> {
        let most = if tenant.is_some() { OF_A_TENANT } else { PLACES };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.entry(tenant.cloned()).or_default();
        let free = all < PLACES && *own < most;
        *own += usize::from(free);
        free.then(|| Place { looks: Arc::clone(self), tenant: tenant.cloned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.looks.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
        }
        // Tenants that look at nothing take up nothing.
        taken.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_places_for_others_and_gives_them_back() {
        let looks = Arc::<Looks>::default();
        let (a, b): (TenantName, TenantName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let places: Vec<Place> = std::iter::from_fn(|| looks.enter(Some(&a))).collect();
        assert_eq!(places.len(), OF_A_TENANT);
        assert!(looks.enter(Some(&b)).is_some());
        drop(places);
        assert!(looks.enter(Some(&a)).is_some());
        assert!(looks.taken.lock().unwrap().is_empty());
        // Without keys.
        assert_eq!(std::iter::from_fn(|| looks.enter(None)).collect::<Vec<_>>().len(), PLACES);
    }
}
