"""The usual way to write this service: FastAPI, SQLAlchemy and psycopg2, one transaction a request, and an outbox
whose rows carry their status. Same schema and same rules as the original that Polis is measured against."""

import os
import uuid
from datetime import datetime, timezone
from typing import Any, Optional

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import DateTime, Integer, Text, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(os.environ["DATABASE_URL"], pool_size=int(os.environ.get("POOL_SIZE", "20")), max_overflow=20)
new_session = sessionmaker(engine, expire_on_commit=False)
energy_threshold = 500.0


def now():
    return datetime.now(timezone.utc)


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "events"
    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    service: Mapped[str] = mapped_column(Text, index=True)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    payload: Mapped[dict] = mapped_column(JSONB)
    normalized_payload: Mapped[Optional[dict]] = mapped_column(JSONB)
    source_event_id: Mapped[Optional[uuid.UUID]] = mapped_column(UUID(as_uuid=True), index=True)
    deduplication_key: Mapped[Optional[str]] = mapped_column(Text, index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


class OutboxMessage(Base):
    __tablename__ = "outbox_messages"
    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    topic: Mapped[str] = mapped_column(Text, index=True)
    payload: Mapped[dict] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(Text, index=True, default="pending")
    attempts: Mapped[int] = mapped_column(Integer, index=True, default=0)
    published_at: Mapped[Optional[datetime]] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


class Payload(BaseModel):
    model_config = ConfigDict(extra="allow")


class Health(Payload):
    patient_id: Optional[int] = None
    alert: Optional[str] = None
    location: Optional[str] = None


class Energy(Payload):
    energy: Optional[float] = None
    neighborhood: Optional[str] = None


class Transport(Payload):
    bus_id: Optional[int] = None
    lat: Optional[float] = None
    lon: Optional[float] = None


class Security(Payload):
    alert: Optional[bool] = None
    camera_trigger: Optional[str] = None


models = {"health": Health, "energy": Energy, "transport": Transport, "security": Security}


def normalize(service, payload):
    model = models.get(service)
    if model is None:
        return payload
    try:
        return model.model_validate(payload).model_dump()
    except ValidationError:
        return payload


def derive(service, data):
    """(service, payload, key) of every derived event."""
    if service == "health" and data.get("alert") == "emergency":
        key = f"health_emergency_{data.get('patient_id')}"
        about = {"reason": "health_emergency", "location": data.get("location"), "patient_id": data.get("patient_id")}
        return [
            ("transport", {"action": "dispatch_nearest_vehicle", **about}, key),
            ("security", {"priority": "high", "action": "escort_and_clear_traffic", **about}, key),
        ]
    if service == "energy" and data.get("energy") is not None and data["energy"] > energy_threshold:
        place = data.get("neighborhood")
        alert = {"alert": "possible_risk", "reason": "critical_energy_usage", "neighborhood": place}
        return [("security", {**alert, "energy": data["energy"]}, f"critical_energy_usage_{place}")]
    return []


class Answer(BaseModel):
    stored_event_id: uuid.UUID
    derived_events: list[uuid.UUID]


app = FastAPI()


def database():
    with new_session() as session:
        yield session


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/ingest/{service}")
def ingest(
    service: str, payload: dict[str, Any], dedupe_key: Optional[str] = None, db: Session = Depends(database)
) -> Answer:
    if dedupe_key:
        known = db.scalars(select(Event).where(Event.deduplication_key == dedupe_key)).first()
        if known:
            derived = db.scalars(select(Event.id).where(Event.source_event_id == known.id)).all()
            return Answer(stored_event_id=known.id, derived_events=list(derived))
    data = normalize(service, payload)
    base = Event(id=uuid.uuid4(), service=service, payload=payload, normalized_payload=data, deduplication_key=dedupe_key)
    db.add(base)
    derived = []
    for target, body, key in derive(service, data):
        event = Event(id=uuid.uuid4(), service=target, payload=body, source_event_id=base.id, deduplication_key=key)
        db.add(event)
        db.add(OutboxMessage(topic=f"event.{target}", payload=body))
        derived.append(event.id)
    db.commit()
    return Answer(stored_event_id=base.id, derived_events=derived)
