"""A long job that says how far it is while it runs; others see it before the job commits."""

import pgqueue

COUNT_SLOWLY = """
do $$
begin
  for step in 1..20 loop
    perform pgqueue.progress(step * 5, format('counted to %s', step));
    perform pg_sleep(0.1);
  end loop;
end $$
"""


def main() -> None:
    seen = []
    with pgqueue.connect() as client:
        job = client.launch(COUNT_SLOWLY, label="counting", timeout=60)
        while not job.wait(0.2):
            percent, message = job.progress()
            if percent is not None:
                print(f"{percent:3}% {message}")
                seen.append(percent)
        job.result()
    assert len(seen) > 2
    assert seen == sorted(seen)


if __name__ == "__main__":
    main()
