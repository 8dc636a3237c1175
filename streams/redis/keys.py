"""Every key's name. Parts of a key are percent-encoded; braces are the hash tag of a shard.

========================  ======  ==========  ===================================================================
key                       shape   written by  read by, and what it holds
========================  ======  ==========  ===================================================================
``customer:<id>``         hash    scoring     users: facts and scores, see `docs/scores.md`; until forgotten
``segment:<id>``          hash    learning    users: name, customers, version
``sales:<series>``        hash    learning    users: totals and forecasts in the main currency
``brand:<name>``          hash    learning    users: a brand's figures, see `docs/brands.md`; name: <category>:<brand>
``brands``                set     learning    users: the names of the above
``market:<category>``     hash    learning    users: demand, price; of ``all`` growth, behaviour too: `docs/market.md`
``pairs:<product>``       hash    learning    users: what is bought with it beyond chance; its price
``markets``               set     learning    users: the categories of the above
``products``              set     learning    users: the products of the above
``segments``, ``series``  set     learning    users: ids of segments, names of sales series
``model:<task>``          string  learning    scoring: the serving model as JSON
``model:<task>:<v>``      string  learning    scoring: a version that is kept, for a rollback or the setting `models`
``models``                hash    learning    scoring: task -> version; looked at several times a second
``lineage``               hash    learning    users: task -> where the version that is published comes from, JSON
``versions:<task>``       hash    learning    users: version -> the same of those that are kept; the newest 8
``pinned``                hash    operators   scoring: request -> task and version to score with at once, until learning
                                              has taken the request up
``retrained``             hash    operators   operators: name -> a learner that was trained anew, and does not serve
``state:{n}``             hash    scoring     scoring: a field a customer, see `packing.py`
``shard:{n}``             hash    scoring     both: head, place, gaps, words of its states
``timers:{n}``            zset    scoring     scoring: customer by due time, epoch seconds
``outbox:{n}``            hash    scoring     relay: records not acknowledged by Kafka yet
``budgets``               hash    scoring     scoring: contacts so far, by campaign that has a budget
``replayed``              zset    operators   dead-letters: letters that were sent again, by when; the newest 100,000
``learner:{p}``           hash    learning    learning: head, place, what it took of each shard,
                                              pieces of its snapshot, and the same of the one before
``snapshot:{p}:<task>``   string  learning    learning: signed pickle
========================  ======  ==========  ===================================================================
"""

from urllib.parse import quote

from msgspec import Struct


class Keys(Struct, frozen=True):
    """Names under one prefix, which keeps jobs on one Redis apart."""

    prefix: str = ""

    def customer(self, customer_id: str) -> str:
        """Key of a customer's scores."""
        return f"{self.prefix}customer:{quote(customer_id, safe='')}"

    def segment(self, segment: object) -> str:
        """Key of a segment."""
        return f"{self.prefix}segment:{segment}"

    def sales(self, series: str) -> str:
        """Key of a sales series."""
        return f"{self.prefix}sales:{quote(series, safe=':')}"

    def brand(self, name: str) -> str:
        """Key of a brand in its category."""
        return f"{self.prefix}brand:{quote(name, safe=':')}"

    def market(self, category: str) -> str:
        """Key of a category's market; of `all` too."""
        return f"{self.prefix}market:{quote(category, safe='')}"

    def pairs(self, product: str) -> str:
        """Key of what is bought with a product."""
        return f"{self.prefix}pairs:{quote(product, safe='')}"

    def model(self, task: str) -> str:
        """Key of a serving model."""
        return f"{self.prefix}model:{task}"

    def model_version(self, task: str, version: str) -> str:
        """Key of a version of a serving model that is kept to be scored with again."""
        return f"{self.prefix}model:{task}:{quote(version, safe='')}"

    def state(self, shard: int) -> str:
        """Key of a shard's customer states."""
        return f"{self.prefix}state:{{{shard}}}"

    def shard(self, shard: int) -> str:
        """Key of a shard's head and place."""
        return f"{self.prefix}shard:{{{shard}}}"

    def timers(self, shard: int) -> str:
        """Key of a shard's timers."""
        return f"{self.prefix}timers:{{{shard}}}"

    def outbox(self, shard: int) -> str:
        """Key of a shard's outbox."""
        return f"{self.prefix}outbox:{{{shard}}}"

    def learner(self, partition: int) -> str:
        """Key of a learner's head and place."""
        return f"{self.prefix}learner:{{{partition}}}"

    def snapshot(self, partition: int, task: str) -> str:
        """Key of a learner's snapshot."""
        return f"{self.prefix}snapshot:{{{partition}}}:{task}"

    def versions(self, task: str) -> str:
        """Key of where the kept versions of a task come from."""
        return f"{self.prefix}versions:{task}"

    @property
    def lineage(self) -> str:
        """Key of where published models come from."""
        return f"{self.prefix}lineage"

    @property
    def pinned(self) -> str:
        """Key of versions that operators asked for and learning has not taken up yet."""
        return f"{self.prefix}pinned"

    @property
    def retrained(self) -> str:
        """Key of learners that were trained anew."""
        return f"{self.prefix}retrained"

    @property
    def budgets(self) -> str:
        """Key of what is spent of budgets."""
        return f"{self.prefix}budgets"

    @property
    def replayed(self) -> str:
        """Key of the dead letters that were sent again."""
        return f"{self.prefix}replayed"

    @property
    def models(self) -> str:
        """Key of the published versions."""
        return f"{self.prefix}models"

    @property
    def brands(self) -> str:
        """Key of the set of brands' names."""
        return f"{self.prefix}brands"

    @property
    def markets(self) -> str:
        """Key of the set of categories."""
        return f"{self.prefix}markets"

    @property
    def products(self) -> str:
        """Key of the set of products that have a hash of pairs."""
        return f"{self.prefix}products"

    @property
    def segments(self) -> str:
        """Key of the set of segment ids."""
        return f"{self.prefix}segments"

    @property
    def series(self) -> str:
        """Key of the set of sales series."""
        return f"{self.prefix}series"
