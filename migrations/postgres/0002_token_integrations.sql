-- Which integrations the agent that a token enrols may serve, as a JSON list; null for all that the
-- settings give it.
ALTER TABLE enrolment_tokens ADD COLUMN integrations text;
