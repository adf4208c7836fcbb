using static Apvirt.Cli.Tests.Clients.ExampleHost;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>
/// The lszcrypt and chzcrypt of IBM Z (s390-tools 2.16 of Debian) under qemu-user, with the output that clients.md §1 and
/// §2 record for them.
/// </summary>
public sealed class ZcryptTests
{
    private static string Lszcrypt => Clients.S390x("lszcrypt");

    private static string Chzcrypt => Clients.S390x("chzcrypt");

    [Fact]
    public void Lszcrypt_lists_the_host_before_and_after_the_queues_are_given_away()
    {
        (int status, string output, string error) = Clients.Shell(host: null, $"{Lszcrypt} -V; {SetUp} {Lszcrypt} -V; {Lszcrypt}");
        Assert.Equal((0, ""), (status, error));
        const string head = """
            CARD.DOMAIN TYPE  MODE        STATUS   REQUESTS  PENDING HWTYPE QDEPTH FUNCTIONS  DRIVER     
            ---------------------------------------------------------------------------------------------
            """;
        Assert.Equal(
            $"""
            {head}
            05          CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4card   
            05.0004     CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4queue  
            05.0047     CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4queue  
            05.00ab     CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4queue  
            05.00ff     CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4queue  
            06          CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4card   
            06.0004     CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4queue  
            06.0047     CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4queue  
            06.00ab     CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4queue  
            06.00ff     CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4queue  
            {head}
            05          CEX8C CCA-Coproc  online          0        0     14     09 S--D--NF-  cex4card   
            05.0004     CEX8C CCA-Coproc  -               -        0     14     09 S--D--NF-  vfio_ap    
            05.0047     CEX8C CCA-Coproc  -               -        0     14     09 S--D--NF-  vfio_ap    
            05.00ab     CEX8C CCA-Coproc  -               -        0     14     09 S--D--NF-  vfio_ap    
            05.00ff     CEX8C CCA-Coproc  -               -        0     14     09 S--D--NF-  vfio_ap    
            06          CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4card   
            06.0004     CEX8A Accelerator -               -        0     14     09 -MC-A-NF-  vfio_ap    
            06.0047     CEX8A Accelerator -               -        0     14     09 -MC-A-NF-  vfio_ap    
            06.00ab     CEX8A Accelerator -               -        0     14     09 -MC-A-NF-  vfio_ap    
            06.00ff     CEX8A Accelerator -               -        0     14     09 -MC-A-NF-  vfio_ap    
            CARD.DOMAIN TYPE  MODE        STATUS   REQUESTS
            -----------------------------------------------
            05          CEX8C CCA-Coproc  online          0
            06          CEX8A Accelerator online          0

            """,
            output);
    }

    [Fact]
    public void Lszcrypt_shows_bus_domains_and_capabilities()
    {
        (int status, string output, string error) = Clients.Shell(host: null, $"{Lszcrypt} -b; {Lszcrypt} -d; {Lszcrypt} -c 5");
        Assert.Equal((0, ""), (status, error));
        string[] lines = output.Split('\n');
        Assert.Equal(
            ["ap_domain=0x4", "ap_max_domain_id=0xff", "ap_interrupts are enabled", "config_time=30 (seconds)", "poll_thread is disabled", "poll_timeout=250000 (nanoseconds)"],
            lines[..6]);
        Assert.Equal("DOMAIN 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f", lines[6]);
        string[] grid = lines[8..24];
        Assert.All(Enumerable.Range(0, 256), domain =>
            Assert.Equal(domain is 0x04 or 0x47 or 0xab or 0xff ? "B" : ".", grid[domain / 16].Split(' ', StringSplitOptions.RemoveEmptyEntries)[1 + (domain % 16)]));
        Assert.Contains("Detailed capability information for card05 (hardware type 14) is not available.", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_card_lszcrypt_says_so()
    {
        (int status, _, string error) = Clients.Shell(host: null, $"{Lszcrypt} 07");
        Assert.NotEqual(0, status);
        Assert.NotEqual("", error);
    }

    [Fact]
    public void Chzcrypt_changes_what_it_says()
    {
        (int status, string output, string error) = Clients.Shell(host: null, $$"""
            {{Chzcrypt}} -V -d 05.0004; cat /sys/devices/ap/card05/05.0004/online
            {{Chzcrypt}} -V --config-off 06; {{Chzcrypt}} -V --config-off 06
            {{Chzcrypt}} -e 06; echo "rc $?"
            {{Chzcrypt}} --config-on 06; cat /sys/devices/ap/card06/config
            {{Chzcrypt}} -q 0x47; cat /sys/bus/ap/ap_domain
            {{Chzcrypt}} -c 45; {{Chzcrypt}} -t 300000; cat /sys/bus/ap/config_time /sys/bus/ap/poll_timeout
            {{Chzcrypt}} -d 07; echo "rc $?"
            {{Chzcrypt}} -p; echo "rc $?"
            echo -5 > /sys/bus/ap/apmask
            {{Chzcrypt}} -e 05.0004; echo "rc $?"
            """);
        Assert.Equal(0, status);
        Assert.Equal(
            ["Setting cryptographic device card05/05.0004 offline", "0", "Setting cryptographic device card06 config off", "rc 0", "1", "71", "45", "300000", "rc 1", "rc 1", "rc 1"],
            output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("chzcrypt: Warning - device card06 is already config off.", error, StringComparison.Ordinal);
        Assert.Contains("chzcrypt: Warning - device 06 is deconfigured, can't set to online.", error, StringComparison.Ordinal);
        Assert.Contains("chzcrypt: Error - cryptographic device card07 does not exist.", error, StringComparison.Ordinal);
        Assert.Contains("chzcrypt: Error - unable to change poll thread setting.", error, StringComparison.Ordinal);
        Assert.Contains("can't write to ", error, StringComparison.Ordinal);
    }
}
