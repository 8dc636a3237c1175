"""Break the job on real Kafka and Redis, and compare with the run that nobody disturbed. See docs/guarantees.md."""
