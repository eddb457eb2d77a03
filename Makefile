# The two commands of this project, by short names.

.PHONY: help serve test

help:
	@echo "make serve   build and run a broker: Kafka clients at 127.0.0.1:9092, records in ./kafscale-data"
	@echo "make test    run all tests; installs what they need by itself"

serve:
	cargo run --release -p kafscale -- serve

test:
	tests/run.sh
