from heavylift.client import AsyncClient as AsyncClient
from heavylift.client import Client as Client
from heavylift.client import Job as Job
from heavylift.context import Context as Context
from heavylift.errors import EffectHeld as EffectHeld
from heavylift.errors import HandlerError as HandlerError
from heavylift.errors import HeavyliftError as HeavyliftError
from heavylift.errors import InDoubt as InDoubt
from heavylift.errors import InvalidJob as InvalidJob
from heavylift.errors import JobCancelled as JobCancelled
from heavylift.errors import JobFailed as JobFailed
from heavylift.errors import NotDurable as NotDurable
from heavylift.errors import Reject as Reject
from heavylift.errors import ResultTimeout as ResultTimeout
from heavylift.errors import Retry as Retry
from heavylift.errors import Stop as Stop
from heavylift.errors import UniqueHeld as UniqueHeld
from heavylift.handler import handler as handler
from heavylift.job import JobSpec as JobSpec
from heavylift.job import Progress as Progress
from heavylift.job import State as State
from heavylift.options import Backoff as Backoff
from heavylift.redaction import Secret as Secret
from heavylift.settings import Settings as Settings
from heavylift.unique import Unique as Unique

__version__: str
