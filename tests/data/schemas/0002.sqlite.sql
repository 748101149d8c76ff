CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0002');
CREATE TABLE schedules (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	text TEXT NOT NULL, 
	label TEXT, 
	UNIQUE (id)
);
INSERT INTO schedules VALUES (1, '630e8304e0352e14c20ae59b8f487901', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', NULL);
INSERT INTO schedules VALUES (2, 'ccd0f2b1de4d86ab816679b68c36f310', '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"label":"\u00e9 \u65e5\u672c ''quoted'' \"twice\" \\ %_ ; --\nline","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}},"torch_version":"2.13.0"}', CAST(X'c3a920e697a5e69cac202771756f746564272022747769636522205c20255f203b202d2d0a6c696e65' AS TEXT));
INSERT INTO schedules VALUES (3, 'f65557c9f3d86240ca94af95a19eeecb', '{"format":2,"spec":{"label":"a\u0000b","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', CAST(X'610062' AS TEXT));
INSERT INTO schedules VALUES (4, '7c52fcb98d7f0ad093110409bf3cdddb', '{"format":2,"spec":{"label":"\ud83d\ude00\u200d\u202e","target_lr":0.01,"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,"shape":"linear"}}}', CAST(X'f09f9880e2808de280ae' AS TEXT));
INSERT INTO schedules VALUES (5, 'a3b0db3bcda52efbe4c8f7668a8be8e9', '{"format":2,"spec":{"after_scheduler":{"gamma":0.1,"step_size":4,"type":"StepLR"},"target_lr":0.1,"total_iterations":12,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL);
INSERT INTO schedules VALUES (6, '6ad4b7b1a6a3f3c5b365bb91a700977b', '{"format":2,"spec":{"after_scheduler":{"anneal_epochs":10,"anneal_strategy":"cos","swa_lr":1e-05,"type":"SWALR"},"target_lr":0.0003,"total_iterations":30,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}},"torch_version":"2.13.0"}', NULL);
INSERT INTO schedules VALUES (7, '7e1d64d4a6ce54c3a24fa1d995d3ead9', '{"format":2,"spec":{"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}],"target_lr":0.1,"total_iterations":10,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":0,"shape":"linear"}}}', NULL);
INSERT INTO schedules VALUES (8, '62db7654d1bc75ee799778166b81f83b', '{"format":2,"spec":{"label":"damaged","t', 'damaged');
CREATE INDEX schedules_by_label ON schedules (label, number);
