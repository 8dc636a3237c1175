"""Break the job on real Kafka and Redis, and compare with the run that nobody disturbed. See docs/guarantees.md."""

import streams  # noqa: F401 - before numpy: it says how many threads
