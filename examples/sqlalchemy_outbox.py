"""A row and the job that belongs to it in one SQLAlchemy transaction: both are there, or neither."""

from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import pgqueue
from pgqueue.config import to_url


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[float]


def main() -> None:
    with pgqueue.connect() as client:
        engine = create_engine(to_url(client.dsn, "postgresql+psycopg"))
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(text("drop table if exists ledger"))
            connection.execute(text("create table ledger (invoice int, total numeric)"))

        with Session(engine) as session:
            session.add(Invoice(id=1, total=13.0))
            client.enqueue("insert into ledger values ($1, $2)", 1, 13, connection=session)
            session.rollback()

        with Session(engine) as session:
            session.add(Invoice(id=2, total=42.0))
            job = client.enqueue("insert into ledger values ($1, $2)", 2, 42, connection=session)
            session.commit()

        assert job.wait(timeout=30)
        with engine.connect() as connection:
            ledger = connection.execute(text("select invoice, total::int from ledger")).all()
        print("ledger:", ledger)
        assert ledger == [(2, 42)]
        engine.dispose()


if __name__ == "__main__":
    main()
