from streams.kafka.security import Broker, for_faust


def test_faust_is_told_of_every_broker():
    from faust.utils.urls import urllist

    told = urllist(for_faust(Broker("one:9092, two:9093"))["broker"])
    assert [(url.scheme, url.host, url.port) for url in told] == [("kafka", "one", 9092), ("kafka", "two", 9093)]
