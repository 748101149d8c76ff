CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0007');
CREATE TABLE schedules (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	text TEXT NOT NULL, 
	label TEXT, created_at INTEGER, used_on INTEGER, of_runs INTEGER, 
	UNIQUE (id)
);
INSERT INTO schedules VALUES (1, '630e8304e0352e14c20ae59b8f487901', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949324, 0, NULL);
INSERT INTO schedules VALUES (2, 'ccd0f2b1de4d86ab816679b68c36f310', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"label":"\u00e9 \u65e5\u672c ''quoted'' \"twice\" \\ %_ ; --\nline","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', CAST(X'c3a920e697a5e69cac202771756f746564272022747769636522205c20255f203b202d2d0a6c696e65' AS TEXT), 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (3, 'f65557c9f3d86240ca94af95a19eeecb', '{"format":2,"spec":{"label":"a\u0000b","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', CAST(X'610062' AS TEXT), 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (4, '7c52fcb98d7f0ad093110409bf3cdddb', '{"format":2,"spec":{"label":"\ud83d\ude00\u200d\u202e","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', CAST(X'f09f9880e2808de280ae' AS TEXT), 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (5, 'a3b0db3bcda52efbe4c8f7668a8be8e9', '{"format":2,"spec":{"after_scheduler":{"gamma":0.1,"step_size":4,"type":"StepLR"},"target_lr":0.1,"total_iterations":12,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (6, '6ad4b7b1a6a3f3c5b365bb91a700977b', '{"format":2,"spec":{"after_scheduler":{"anneal_epochs":10,"anneal_strategy":"cos","swa_lr":1e-05,"type":"SWALR"},"target_lr":0.0003,"total_iterations":30,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL, 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (7, '7e1d64d4a6ce54c3a24fa1d995d3ead9', '{"format":2,"spec":{"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}],"target_lr":0.1,"total_iterations":10,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}}}', NULL, 1795949324, NULL, NULL);
INSERT INTO schedules VALUES (8, '62db7654d1bc75ee799778166b81f83b', '{"format":2,"spec":{"label":"damaged","t', 'damaged', 1795949324, NULL, NULL);
CREATE INDEX schedules_by_label ON schedules (label, number);
CREATE TABLE keys (
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	prefix VARCHAR(32) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	scopes TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	last_used_at BIGINT, 
	PRIMARY KEY (number), 
	UNIQUE (prefix), 
	UNIQUE (hash)
);
INSERT INTO keys VALUES (1, 'trainer', 'preheat_Bo3vDXnc', 'c5cdc32540dcb8d10332ce9d2d62e1816094e8aaffb2584411a8d2b5c73b1f0a', 'write', 1795949324, NULL, NULL, NULL);
CREATE TABLE service (
	identity VARCHAR(32) NOT NULL, 
	served_s INTEGER NOT NULL, 
	probe INTEGER NOT NULL, 
	PRIMARY KEY (identity)
);
INSERT INTO service VALUES ('87aa74fd9fd34dbcb1690d386299b7e0', 0, 0);
CREATE TABLE changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	topic VARCHAR(32) NOT NULL, 
	"key" TEXT NOT NULL
);
INSERT INTO changes VALUES (1, 'keys', 'trainer');
CREATE INDEX schedules_by_use ON schedules (used_on);
CREATE TABLE runs (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	label TEXT NOT NULL, 
	stamp VARCHAR(16) NOT NULL, 
	phase VARCHAR(8) NOT NULL, 
	silent_at DOUBLE NOT NULL, 
	stalled_at DOUBLE NOT NULL, 
	base TEXT NOT NULL, 
	content TEXT NOT NULL, 
	reports BIGINT NOT NULL, 
	UNIQUE (id)
);
INSERT INTO runs VALUES (1, '0123456789abcdef0123456789abcdef', 'llama-7b', '44535b3630709891', 'WAITING', 0.0, 0.0, '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', '{"id":"0123456789abcdef0123456789abcdef","label":"llama-7b","schedule_id":"630e8304e0352e14c20ae59b8f487901","total_iterations":20,"created_at":1800000000.0,"revision":1,"generation":1,"rollback":null,"controllers":[],"origins":[],"is_locked":false,"is_finished":false,"events":1,"recent":[[1,"630e8304e0352e14c20ae59b8f487901"]]}', 0);
CREATE INDEX runs_by_label ON runs (label, number);
CREATE INDEX runs_by_phase ON runs (phase, number);
CREATE TABLE run_attempts (
	run VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (run, position), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
CREATE TABLE run_changes (
	run VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (run, position), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
CREATE TABLE run_keys (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run VARCHAR(32) NOT NULL, 
	author TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	content TEXT NOT NULL, 
	FOREIGN KEY(run) REFERENCES runs (id)
);
CREATE UNIQUE INDEX run_keys_by_name ON run_keys (run, author, "key");
CREATE TABLE run_revisions (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run VARCHAR(32) NOT NULL, 
	revision BIGINT, 
	schedule VARCHAR(32) NOT NULL, 
	FOREIGN KEY(run) REFERENCES runs (id), 
	FOREIGN KEY(schedule) REFERENCES schedules (id)
);
INSERT INTO run_revisions VALUES (1, '0123456789abcdef0123456789abcdef', 1, '630e8304e0352e14c20ae59b8f487901');
CREATE INDEX run_revisions_by_run ON run_revisions (run, revision);
CREATE INDEX run_revisions_by_schedule ON run_revisions (schedule);
CREATE TABLE run_events (
	run VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (run, number), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO run_events VALUES ('0123456789abcdef0123456789abcdef', 1, 'made', 1800000000.0, '{"label":"llama-7b","schedule":"630e8304e0352e14c20ae59b8f487901"}');
CREATE TABLE run_reports (
	run VARCHAR(32) NOT NULL, 
	attempt BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	iteration BIGINT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (run, attempt, name, iteration), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
