"""An audit row that survives the ROLLBACK of what it reports.

The trigger launches a job, which commits apart from the transaction that fired it.
"""

import psycopg

import pgqueue

SETUP = """
drop table if exists account, audit_trail;
create table account (owner text, balance numeric check (balance >= 0));
create table audit_trail (at timestamptz default now(), who text, what text);
insert into account values ('ada', 100);

create or replace function audit_withdrawal() returns trigger language plpgsql as $$
begin
  perform pgqueue.submit('insert into audit_trail (who, what) values ($1, $2)',
                         array[current_user, format('%s: %s -> %s', old.owner, old.balance, new.balance)]);
  return new;
end $$;

create trigger audit_withdrawal before update on account for each row execute function audit_withdrawal();
"""


def main() -> None:
    with pgqueue.connect() as client, psycopg.connect(client.dsn, autocommit=True) as connection:
        connection.execute(SETUP)
        try:
            connection.execute("update account set balance = balance - 500 where owner = 'ada'")
        except psycopg.errors.CheckViolation as refused:
            print(f"refused: {refused.diag.message_primary}")

        [launched] = client.list_jobs(limit=1)
        client.job(launched.id).wait()
        print("account:", connection.execute("select * from account").fetchall())
        trail = connection.execute("select what from audit_trail").fetchall()
        print("audit trail:", trail)
        assert trail == [("ada: 100 -> -400",)]


if __name__ == "__main__":
    main()
