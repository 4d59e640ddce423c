"""A row and the Celery task that looks at it in one SQLAlchemy transaction: the task never runs too early or in vain.

`app` is an ordinary Celery app. Start it beside this program:  pgqueue up -A examples.celery_in_transaction
"""

from celery import Celery
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import pgqueue
from pgqueue.config import Settings, to_url

app = Celery("shop", broker="pgqueue://", backend="pgqueue://")  # the database of PGQUEUE_DSN
engine = create_engine(to_url(Settings.load().conninfo, "postgresql+psycopg"))


class Base(DeclarativeBase):
    pass


class Parcel(Base):
    __tablename__ = "posted_parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str]


@app.task(name="shop.print_label")
def print_label(parcel_id: int) -> str:
    """Finds the row, for it was sent by the commit that made the row visible."""
    with Session(engine) as session:
        return f"To: {session.get_one(Parcel, parcel_id).address}"


def main() -> None:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)

    with Session(engine) as session:
        session.add(Parcel(id=1, address="nowhere"))
        never = print_label.apply_async([1], connection=session)
        session.rollback()

    with Session(engine) as session, pgqueue.in_transaction(session):
        session.add(Parcel(id=2, address="12 St James's Square"))
        label = print_label.delay(2)
        session.commit()

    print(label.get(timeout=30))
    assert label.get() == "To: 12 St James's Square"
    assert not never.ready()
    engine.dispose()


if __name__ == "__main__":
    main()
