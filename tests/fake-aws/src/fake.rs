//! All that the double holds. One lock over the world: every operation sees and leaves it whole.

use parking_lot::Mutex;
use secrecy::SecretString;

use crate::calls::Calls;
use crate::clock::Clock;
use crate::faults::{Change, Faults};
use crate::iam::directory::Directory;
use crate::iam::propagation::Propagating;
use crate::s3::store::Buckets;
use crate::sts::session::Sessions;

/// The double of one AWS account.
pub(crate) struct Fake {
    /// Twelve digits.
    pub(crate) account: String,
    pub(crate) admin_key_id: String,
    pub(crate) clock: Clock,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: Mutex<Calls>,
    pub(crate) world: Mutex<World>,
    /// What IAM holds at the start, and after a reset.
    initial: Directory,
}

/// What the services keep.
pub(crate) struct World {
    pub(crate) iam: Propagating<Directory>,
    pub(crate) sts: Sessions,
    pub(crate) s3: Buckets,
}

impl World {
    fn new(initial: &Directory) -> Self {
        Self {
            iam: Propagating::new(initial.clone()),
            sts: Sessions::default(),
            s3: Buckets::default(),
        }
    }
}

impl Fake {
    /// An account with one user, `admin`, who may do everything and has the given access key.
    ///
    /// # Errors
    /// When a built-in policy can't be read, which is a mistake in this program.
    pub(crate) fn new(
        account: String,
        key_id: String,
        secret: SecretString,
    ) -> Result<Self, String> {
        let clock = Clock::default();
        let initial = Directory::with_admin(key_id.clone(), secret, clock.real())?;
        Ok(Self {
            account,
            admin_key_id: key_id,
            clock,
            faults: Mutex::default(),
            calls: Mutex::default(),
            world: Mutex::new(World::new(&initial)),
            initial,
        })
    }

    /// Forgets everything but the account and its admin.
    pub(crate) fn reset(&self) {
        self.clock.reset();
        *self.faults.lock() = Faults::default();
        *self.world.lock() = World::new(&self.initial);
        *self.calls.lock() = Calls::default();
    }

    /// Changes the faults in force, and gives them. A lowered lag holds for what is pending, too.
    pub(crate) fn change_faults(&self, change: &Change) -> Faults {
        let faults = {
            let mut faults = self.faults.lock();
            faults.change(change);
            faults.clone()
        };
        self.world.lock().iam.hasten(faults.propagation());
        faults
    }

    /// Changes what IAM holds. The change is seen by IAM at once, and takes effect when it has
    /// propagated.
    pub(crate) fn change_iam<T, E>(
        &self,
        change: impl FnOnce(&mut Directory) -> Result<T, E>,
    ) -> Result<T, E> {
        let delay = self.faults.lock().propagation();
        self.world.lock().iam.change(delay, change)
    }
}
