using static Apvirt.Cli.Tests.Clients.ExampleHost;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>Shell scripts on a virtual host: clients.md §0 and the plain tools.</summary>
public sealed class ScriptTests
{
    [Fact]
    public void The_set_up_of_the_example_host_works_and_shows()
    {
        (int status, string output, string error) = Clients.Shell(host: null, SetUp + """
            cat /sys/bus/mdev/devices/$G1/matrix; echo --; cat /sys/bus/mdev/devices/$G1/guest_matrix; echo --
            cat /sys/bus/mdev/devices/$G1/control_domains; echo --
            cat /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/available_instances
            ls /sys/bus/ap/drivers/vfio_ap | grep '^0'; cat /sys/bus/ap/bindings; cat /sys/bus/ap/apmask
            """);
        Assert.Equal((0, ""), (status, error));
        Assert.Equal(
            """
            05.0004
            05.00ab
            06.0004
            06.00ab
            --
            05.0004
            05.00ab
            06.0004
            06.00ab
            --
            0004
            00ab
            --
            65533
            05.0004
            05.0047
            05.00ab
            05.00ff
            06.0004
            06.0047
            06.00ab
            06.00ff
            8/8 (complete)
            0xf9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff

            """,
            output);
    }

    [Fact]
    public void What_must_fail_fails_with_the_words_of_the_real_system()
    {
        (_, string output, string error) = Clients.Shell(host: null, SetUp + """
            cd /sys/bus/mdev/devices/$G2
            echo 4 > assign_domain
            echo +5 > /sys/bus/ap/apmask
            echo 256 > assign_adapter
            echo x > assign_adapter
            cat assign_adapter
            : > assign_adapter; echo "empty $?"
            echo 5 > nosuch
            rm assign_adapter; mkdir x
            F=77777777-7777-4777-8777-777777777777
            for u in $G1 $G2 $G3; do echo 1 > /sys/bus/mdev/devices/$u/remove; done
            echo +5,+6 > /sys/bus/ap/apmask
            echo $F > /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create
            echo 5 > /sys/bus/mdev/devices/$F/assign_adapter && echo 4 > /sys/bus/mdev/devices/$F/assign_domain
            """);
        Assert.Equal("empty 0\n", output);
        string[] messages = [.. error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line[(line.LastIndexOf(": ", StringComparison.Ordinal) + 2)..])];
        Assert.Equal(
            [
                "Address already in use", "Device or resource busy", "No such device", "Invalid argument", "Permission denied",
                "Permission denied", "Operation not permitted", "Operation not permitted", "Cannot assign requested address",
            ],
            messages);
    }

    [Fact]
    public void Plain_tools_work()
    {
        (int status, string output, string error) = Clients.Shell(Clients.Example("three-guests.yaml"), """
            echo 45 | tee /sys/bus/ap/config_time
            readlink -f /sys/bus/ap/devices/05.0004/driver
            stat -c '%s %a %U %F' /sys/bus/ap/apmask /sys/bus/ap/devices /sys/bus/ap/devices/card05
            find /sys/devices/ap/card05 -maxdepth 1 -name '05.*' | sort
            find /sys/devices/ap -name status | wc -l
            grep -l 'in use' /sys/devices/ap/card05/*/status | wc -l
            ls -ld /sys/class/mdev_bus/matrix | sed 's/.*-> //'
            test -e /sys/bus/ap/devices/07.0004; echo $?
            """);
        Assert.Equal((0, ""), (status, error));
        Assert.Equal(
            """
            45
            /sys/bus/ap/drivers/vfio_ap
            4096 644 root regular file
            0 755 root directory
            0 777 root symbolic link
            /sys/devices/ap/card05/05.0004
            /sys/devices/ap/card05/05.0047
            /sys/devices/ap/card05/05.00ab
            /sys/devices/ap/card05/05.00ff
            8
            4
            ../../devices/vfio_ap/matrix
            1

            """,
            output);
    }

    [Fact]
    public void Tar_copies_the_whole_tree_without_hanging()
    {
        (_, string output, string error) = Clients.Shell(host: null, "tar cf - /sys/bus/ap /sys/devices/ap 2>/tmp/apvirt-tar-$$ | tar tf - | grep -c /; grep -v 'shrank by\\|Removing leading\\|Permission denied\\|Input/output error\\|Exiting with' /tmp/apvirt-tar-$$; rm /tmp/apvirt-tar-$$");
        Assert.Equal("", error);
        Assert.True(int.Parse(output) > 200, output);
    }

    [Fact]
    public void Udevadm_reads_a_card()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/udevadm") || File.Exists("/bin/udevadm"), "needs udevadm");
        (int status, string output, _) = Clients.Shell(host: null, "udevadm info /sys/devices/ap/card05");
        Assert.Equal(0, status);
        foreach (string line in (string[])["P: /devices/ap/card05", "E: SUBSYSTEM=ap", "E: DEVTYPE=ap_card", "E: DRIVER=cex4card", "E: DEV_TYPE=000E", "E: MODALIAS=ap:t0E", "E: MODE=cca"])
            Assert.Contains(line + "\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_exit_status_is_the_commands_and_nothing_stays()
    {
        static string[] Mounts() => [.. File.ReadLines("/proc/self/mounts").Where(line => line.Split(' ')[1].StartsWith("/sys", StringComparison.Ordinal))];
        string[] before = Mounts();
        Assert.Equal(7, Clients.Shell(host: null, "exit 7").Status);
        Assert.Equal(128 + 15, Clients.Shell(host: null, "kill -TERM $$").Status);
        Clients.SkipUnlessMountable();
        (int status, _, string error) = Clients.Apvirt(["shell", "--", "/nosuch/command"]);
        Assert.Equal(127, status);
        Assert.StartsWith("apvirt: /nosuch/command cannot be run: ", error, StringComparison.Ordinal);
        Assert.Equal(2, Clients.Apvirt(["shell", Clients.Example("minimal.yaml"), "ls"]).Status);
        Assert.Equal(before, Mounts());
    }

    [Fact]
    public void What_the_real_sys_has_beside_stays_visible()
    {
        Assert.SkipUnless(Directory.Exists("/sys/class/net/lo"), "this machine shows no network in /sys");
        Assert.Equal((0, "matrix\nlo\n", ""), Clients.Shell(host: null, "ls -d /sys/class/net/lo /sys/class/mdev_bus/matrix | xargs -n1 basename"));
    }
}
