CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.schedules (
    number integer NOT NULL,
    id character varying(32) NOT NULL,
    spec text NOT NULL,
    torch_version character varying(32) NOT NULL,
    label text
);
CREATE SEQUENCE public.schedules_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schedules_number_seq OWNED BY public.schedules.number;
ALTER TABLE ONLY public.schedules ALTER COLUMN number SET DEFAULT nextval('public.schedules_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.schedules VALUES (1, '71de7b50071bd5ae4074ca5767b64f12', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"CosineAnnealingLR","T_max":10,"eta_min":0.0}}', '2.13.0', NULL);
INSERT INTO public.schedules VALUES (2, 'adef8c8a53bb76c325ddacc5c531851b', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"CosineAnnealingLR","T_max":10,"eta_min":0.0},"label":"é 日本 ''quoted'' \"twice\" \\ %_ ; --\nline"}', '2.13.0', 'é 日本 ''quoted'' "twice" \ %_ ; --
line');
INSERT INTO public.schedules VALUES (3, 'c78f4e2bf6ceb725da1aeaaab371de39', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"label":"a\u0000b"}', '2.13.0', 'a␀b');
INSERT INTO public.schedules VALUES (4, '7df2f87e7ff356242570d8152891de25', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"label":"😀‍‮"}', '2.13.0', '😀‍‮');
INSERT INTO public.schedules VALUES (5, 'd04c2c0bbd9ab24dd6b8a65f430d6da0', '{"target_lr":0.1,"total_iterations":12,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"StepLR","step_size":4,"gamma":0.1}}', '2.13.0', NULL);
INSERT INTO public.schedules VALUES (6, '9813715ec60402a0a5980ec5ea72787e', '{"target_lr":0.0003,"total_iterations":30,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"SWALR","swa_lr":0.00001,"anneal_epochs":10,"anneal_strategy":"cos"}}', '2.13.0', NULL);
INSERT INTO public.schedules VALUES (7, '62a8422b7ef92a497e036ae9cfa61678', '{"target_lr":0.1,"total_iterations":10,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}]}', '2.13.0', NULL);
INSERT INTO public.schedules VALUES (8, 'b82a252311f23bbd64438933ae5ab20d', '{"target_lr":0.5,"total_iterations":11,"', '2.13.0', 'damaged');
SELECT pg_catalog.setval('public.schedules_number_seq', 8, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_id_key UNIQUE (id);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (number);
CREATE INDEX schedules_by_label ON public.schedules USING btree (label, number);
