/* A milter that negotiates the callbacks of codomain's and always continues: the floor.
 *
 * cc -O2 -o null_milter null_milter.c -lmilter -lpthread; ./null_milter unix:/path
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <sys/stat.h>

static unsigned long silent;

static sfsistat quiet(unsigned long step) {
  return (silent & step) ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static sfsistat negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
                          unsigned long f2, unsigned long f3, unsigned long *pactions,
                          unsigned long *psteps, unsigned long *pf2, unsigned long *pf3) {
  (void)f2, (void)f3;
  silent = (SMFIP_NR_CONN | SMFIP_NR_MAIL | SMFIP_NR_HDR | SMFIP_NR_EOH) & steps;
  *pactions = actions & (SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_ADDRCPT_PAR | SMFIF_ADDHDRS |
                         SMFIF_CHGHDRS | SMFIF_SETSYMLIST);
  *psteps = ((SMFIP_NOHELO | SMFIP_NOUNKNOWN | SMFIP_NOBODY) & steps) | silent;
  *pf2 = *pf3 = 0;
  smfi_setsymlist(ctx, SMFIM_CONNECT, "{daemon_name}");
  smfi_setsymlist(ctx, SMFIM_ENVFROM, "i {daemon_name} {auth_authen} {verify} {cert_fp} {cert_md5}");
  return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *address) {
  (void)ctx, (void)name, (void)address;
  return quiet(SMFIP_NR_CONN);
}

static sfsistat on_mail(SMFICTX *ctx, char **arguments) {
  (void)ctx, (void)arguments;
  return quiet(SMFIP_NR_MAIL);
}

static sfsistat on_rcpt(SMFICTX *ctx, char **arguments) {
  (void)ctx, (void)arguments;
  return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value) {
  (void)ctx, (void)name, (void)value;
  return quiet(SMFIP_NR_HDR);
}

static sfsistat on_eoh(SMFICTX *ctx) {
  (void)ctx;
  return quiet(SMFIP_NR_EOH);
}

static sfsistat on_data(SMFICTX *ctx) {
  (void)ctx;
  return SMFIS_CONTINUE;
}

static sfsistat on_eom(SMFICTX *ctx) {
  (void)ctx;
  return SMFIS_CONTINUE;
}

int main(int count, char **arguments) {
  struct smfiDesc description = {
      .xxfi_name = "null",
      .xxfi_version = SMFI_VERSION,
      .xxfi_flags = SMFI_CURR_ACTS,
      .xxfi_connect = on_connect,
      .xxfi_envfrom = on_mail,
      .xxfi_envrcpt = on_rcpt,
      .xxfi_header = on_header,
      .xxfi_eoh = on_eoh,
      .xxfi_data = on_data,
      .xxfi_eom = on_eom,
      .xxfi_negotiate = negotiate,
  };
  if (count != 2) return 64;
  umask(0);
  smfi_setbacklog(1024);
  if (smfi_setconn(arguments[1]) != MI_SUCCESS || smfi_register(description) != MI_SUCCESS ||
      smfi_opensocket(1) != MI_SUCCESS)
    return 71;
  return smfi_main() == MI_SUCCESS ? 0 : 70;
}
