CREATE FUNCTION audit_events_in_order() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_events WHERE seq >= NEW.seq) OR EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id) THEN
        RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER audit_events_append BEFORE INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_in_order();
